"""Tests of the metrics files."""

import contextlib
import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from opp_darts_jax import files
from opp_darts_jax.running.workdirs import metrics


def read_events(workdir):
  """(tag, step, value) of every scalar, and the steps of session starts."""
  from tensorboardX.proto import event_pb2

  scalars, starts = [], []
  for path in sorted((workdir / 'tensorboard').iterdir()):
    data = path.read_bytes()
    while data:  # A record: length, its checksum, the event, its checksum.
      (size,) = struct.unpack('<Q', data[:8])
      event = event_pb2.Event.FromString(data[12 : 12 + size])
      data = data[16 + size :]
      for value in event.summary.value:
        scalars.append((value.tag, event.step, value.simple_value))
      if event.HasField('session_log'):
        starts.append(event.step)
  return scalars, starts


def test_values_become_strict_json(tmp_path):
  with metrics.JsonLines(tmp_path / 'lines.jsonl') as lines:
    lines.write(
      {
        'kind': 'train',
        'step': np.int64(3),
        'loss': jnp.float32(0.5),
        'half': jnp.bfloat16(1.5),
        'count': np.int32(7),
        'alphas': jnp.array([[1.0, jnp.nan]]),
        'bad': float('inf'),
        'best': np.bool_(True),
        'entered': ('sep_conv_3x3', None),
        'nested': {'a': np.float64(2)},
      }
    )
  text = (tmp_path / 'lines.jsonl').read_text()
  assert text == (
    '{"kind": "train", "step": 3, "loss": 0.5, "half": 1.5, "count": 7, '
    '"alphas": [[1.0, null]], "bad": null, "best": true, '
    '"entered": ["sep_conv_3x3", null], "nested": {"a": 2.0}}\n'
  )


@contextlib.contextmanager
def opened(folder, size=0, step=0):
  with (
    metrics.JsonLines(folder / 'metrics.jsonl', size) as lines,
    metrics.MetricsWriter(lines, folder / 'tensorboard', step) as writer,
  ):
    yield lines, writer


def test_lines_are_on_disk_at_once(tmp_path):
  with opened(tmp_path) as (lines, writer):
    writer.write('train', 1, 0, loss=2.0)
    assert files.read_lines(tmp_path / 'metrics.jsonl') == [
      {'kind': 'train', 'epoch': 0, 'step': 1, 'loss': 2}
    ]
    assert lines.size == len((tmp_path / 'metrics.jsonl').read_bytes())


def test_tensorboard_gets_the_numbers(tmp_path):
  with opened(tmp_path) as (_, writer):
    writer.write('train', 4, 0, loss=0.25, note='x', flag=True, nan=np.nan)
    writer.write('test', 4, 0, errors=np.int32(2), alphas=np.ones((2, 2)))
  assert read_events(tmp_path) == (
    [('train/loss', 4, 0.25), ('test/errors', 4, 2.0)],
    [],
  )


def test_a_number_may_have_any_name(tmp_path):
  with opened(tmp_path) as (_, writer):
    writer.write('epoch', 4, 0, **{'self': 1.0, 'values': 2.0})
  assert read_events(tmp_path)[0] == [
    ('epoch/self', 4, 1.0),
    ('epoch/values', 4, 2.0),
  ]


@pytest.mark.parametrize('lost', [5, 30])
def test_a_file_that_lost_lines_is_told_of_and_goes_on(tmp_path, caplog, lost):
  path = tmp_path / 'metrics.jsonl'
  with opened(tmp_path) as (lines, writer):
    for step in (10, 20):
      writer.write('train', step, 0)
    size = lines.size
  path.write_bytes(path.read_bytes()[:-lost])
  with opened(tmp_path, size, 20) as (_, writer):
    writer.write('train', 30, 0)
  assert [m['step'] for m in files.read_lines(path)] == [10, 30]
  said = (
    f'{path} has {size - lost} bytes, and had {size} when the run was saved'
  )
  assert said in caplog.text


def test_half_a_line_is_left_out(tmp_path):
  path = tmp_path / 'lines.jsonl'
  path.write_text('{"epoch": 1}\n{"epoch"')
  assert files.read_lines(path) == [{'epoch': 1}]


def test_a_resumed_run_repeats_nothing(tmp_path):
  with opened(tmp_path) as (lines, writer):
    for step in (10, 20, 30):
      if step == 30:
        size = lines.size
      writer.write('train', step, 0, loss=step / 10)
  with opened(tmp_path, size, 20) as (_, writer):
    writer.write('train', 30, 0, loss=9.0)
  records = files.read_lines(tmp_path / 'metrics.jsonl')
  assert [(m['step'], m['loss']) for m in records] == [
    (10, 1.0),
    (20, 2.0),
    (30, 9.0),
  ]
  # TensorBoard drops what earlier files say of steps from this one on, which
  # is the first that is written anew.
  assert read_events(tmp_path)[1] == [21]


def test_broken_lines_are_left_out(tmp_path, caplog):
  path = tmp_path / 'metrics.jsonl'
  assert files.read_lines(path) == []
  path.write_bytes(b'{"a": 1}\nloss 3\n\n"\xc3"\n7\n{"a": 2}\n{"a": 3')
  with caplog.at_level('WARNING'):
    assert files.read_lines(path) == [{'a': 1}, {'a': 2}]
  assert [record.args[1] for record in caplog.records] == [2, 4]


def test_write_json_replaces_the_whole_file(tmp_path):
  path = tmp_path / 'genotype.json'
  files.write_json(path, {'a': np.float32(0.5), 'b': [1, np.nan]})
  assert path.read_text() == (
    '{\n  "a": 0.5,\n  "b": [\n    1,\n    null\n  ]\n}\n'
  )
  with pytest.raises(TypeError):
    files.write_json(path, {'a': object()})
  assert json.loads(path.read_text())['a'] == 0.5
  assert list(tmp_path.iterdir()) == [path]
