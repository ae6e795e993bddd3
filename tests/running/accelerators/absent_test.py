"""Accelerators that are not here: their figures, the model, what is said."""

import json
import sys
import types

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import topologies
from launched import launch
from tiny_runs import SEARCH, TRAIN

from opp_darts_jax.config import ScheduleConfig
from opp_darts_jax.errors import DeviceMemoryError, UserError
from opp_darts_jax.launchers.launch import prepare_target
from opp_darts_jax.methods.progressive import count_scored
from opp_darts_jax.operations.target import Target, current, traced_for
from opp_darts_jax.running.accelerators import (
  absent,
  compilation,
  forecast,
  time_model,
)
from opp_darts_jax.running.accelerators.catalogue import (
  ACCELERATORS,
  get_accelerator,
)
from opp_darts_jax.running.accelerators.counts import Counts
from opp_darts_jax.running.accelerators.forecast import Part
from opp_darts_jax.running.searches.dry_run import dry_run as dry_run_search
from opp_darts_jax.running.trainings.dry_run import dry_run as dry_run_training
from opp_darts_jax.spaces.catalogue import get_space

SHAPE = jax.ShapeDtypeStruct((8, 8), jnp.float32)


@pytest.mark.parametrize('accelerator', ACCELERATORS.values())
def test_figures_fit_each_other(accelerator):
  operations = accelerator.operations
  assert operations['bfloat16'] >= operations['high'] > operations['highest']
  assert 1e9 < accelerator.memory < accelerator.bandwidth
  assert (accelerator.wait > 0) == (accelerator.platform == 'gpu')
  assert '{' not in accelerator.name
  text = accelerator.config
  assert text.count('{') == text.count('}')
  assert (f'"{accelerator.kind}"' in text) == (accelerator.platform == 'gpu')


def test_the_model_adds_launches_waits_meetings_bytes_and_products():
  model = time_model.model_of(get_accelerator('h100'), 'high')
  assert model._asdict() == pytest.approx(
    {
      'launch_us': 2.5,
      'wait_us': 30,
      'meet_us': 20,
      'bandwidth_gb_s': 3352.32,
      'peak_tflop_s': 495,
      'peak_16_tflop_s': 989,
    }
  )
  counts = Counts(
    library_calls=100,
    fusions=300,
    conditionals=10,
    collectives=5,
    async_copies=1000,
    read=1e9,
    written=2.35232e9,
    operations=495e9,
    operations_16=989e9,
  )
  assert time_model.seconds(counts, model) == pytest.approx(
    405 * 2.5e-6 + 10 * 30e-6 + 5 * 20e-6 + 1e-3 + 1e-3 + 1e-3
  )


@pytest.mark.parametrize('name', ACCELERATORS)
def test_without_its_compiler_a_sentence_says_what_to_install(
  name, monkeypatch, tmp_path
):
  def missing(**options):
    if options['platform'] == 'tpu':
      raise RuntimeError('JAX TPU support not installed; cannot generate')
    raise NotImplementedError('topology not implemented for cuda')

  monkeypatch.setattr(topologies, 'get_topology_desc', missing)
  monkeypatch.setitem(sys.modules, 'jax_plugins', None)
  message = (
    rf"compile for {name} .* pip install 'opp_darts_jax\[accelerator-aot"
  )
  for dry_run, config in (
    (dry_run_search, SEARCH),
    (dry_run_training, TRAIN),
  ):
    with pytest.raises(UserError, match=message):
      dry_run(config, tmp_path, target=name)
  assert not list(tmp_path.iterdir())


def test_a_plugin_that_finds_no_driver(monkeypatch, tmp_path):
  def asleep(**options):
    raise NotImplementedError('topology not implemented for cuda')

  (tmp_path / 'xla_cuda12').mkdir()
  (tmp_path / 'xla_cuda12' / '__init__.py').touch()
  plugins = types.ModuleType('jax_plugins')
  plugins.__path__ = [str(tmp_path)]
  monkeypatch.setitem(sys.modules, 'jax_plugins', plugins)
  monkeypatch.setattr(topologies, 'get_topology_desc', asleep)
  with pytest.raises(
    UserError, match=r'not start.* \(JAX_PLATFORMS=cpu\); got'
  ):
    absent.find('h100')


def test_a_target_leaves_this_process_on_the_cpu(monkeypatch, capsys):
  updates = []
  config = types.SimpleNamespace(update=lambda *given: updates.append(given))
  monkeypatch.setattr(absent, '_CONFIG', config)
  prepare_target('')
  assert not updates
  prepare_target('h100')
  assert updates == [('jax_platforms', 'cpu')]
  assert 'for h100: a few minutes' in capsys.readouterr().err


@pytest.mark.parametrize(
  ('said', 'message'),
  [
    (
      'ABORTED: Internal error when accessing libtpu multi-process lockfile.',
      'one process compile at a time, and another one does',
    ),
    ('INVALID_ARGUMENT: other version', f'fits jax {jax.__version__}'),
  ],
)
def test_a_compiler_that_does_not_serve(said, message, monkeypatch):
  def fail(**options):
    raise RuntimeError(f'{said}\nand more')

  monkeypatch.setattr(topologies, 'get_topology_desc', fail)
  monkeypatch.setattr('os.environ', {'TPU_SKIP_MDS_QUERY': 'mine'})
  with pytest.raises(UserError, match=message) as caught:
    absent.find('v5e')
  assert 'and more' not in str(caught.value)
  assert absent.os.environ == {
    'TPU_SKIP_MDS_QUERY': 'mine',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
  }


@pytest.mark.parametrize(
  ('name', 'sizes', 'asked'),
  [
    ('h100', '', {'topology_name': 'h100', 'topology': '1x1x1'}),
    ('h100', '2x4', {'topology_name': 'h100', 'topology': '1x2x4'}),
    ('v5e', '', {'topology_name': 'v5e:2x2'}),
    ('v6e', '4x4', {'topology_name': 'v6e:4x4'}),
  ],
)
def test_many_devices_that_are_not_here(name, sizes, asked, monkeypatch):
  given = {}

  def found(**options):
    given.update(options)
    return types.SimpleNamespace(devices=jax.devices() * 4)

  monkeypatch.setattr(topologies, 'get_topology_desc', found)
  monkeypatch.setattr(absent, 'Devices', list)
  monkeypatch.setattr('os.environ', {})
  devices = absent.find(name, sizes).devices
  assert len(devices) == (4 if sizes else 1)
  assert given.items() >= asked.items()


@pytest.mark.parametrize('sizes', ['4', '2x', '0x2', '2x2x1', 'axb'])
def test_a_topology_has_two_sizes(sizes):
  with pytest.raises(UserError, match="as '2x2' or '4x4', got"):
    absent.find('h100', sizes)


def test_an_unknown_target_lists_the_valid_ones(tmp_path, capfd):
  sentence = "target 'h200'; valid are: h100, a100, v"
  with pytest.raises(UserError, match=sentence):
    dry_run_search(SEARCH, tmp_path, target='h200')
  # Before it is said that something is compiled for it.
  with pytest.raises(UserError, match=sentence):
    prepare_target('h200')
  assert capfd.readouterr().err == ''


def test_target_goes_with_dry_run(tmp_path):
  done = launch('train', '--target=h100', f'--workdir={tmp_path}')
  assert done.returncode == 2
  assert '--target goes with --dry_run alone' in done.stderr
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['h100', 'v5e'])
def test_lowering_needs_no_compiler(name):
  accelerator = get_accelerator(name)

  @jax.jit
  def program(x):
    assert current().platform == accelerator.platform
    return jax.lax.cond(x.sum() > 0, jnp.sin, lambda x: x.at[0].set(1.0), x)

  with traced_for(Target(accelerator.platform)):
    lowered, seconds = compilation.lower(program, (SHAPE,), accelerator)
  assert lowered.conditions == lowered.scatters == 1
  assert lowered.lines > 5
  assert seconds > 0


def test_the_benchmark_lowers_and_prints_a_line():
  done = launch(
    'experiments/benchmark/accelerator.py',
    *('--target=v5e', '--size=tiny', '--mode=evaluate', '--lower_only'),
  )
  assert done.returncode == 0, done.stderr
  row = json.loads(done.stdout)
  assert (row['target'], row['channels'], row['operations']) == ('v5e', 8, 8)
  assert row['stablehlo_lines'] > 1000
  assert {'lower_s', 'host_conditions', 'scatters'} <= set(row)


def parts(*runs):
  program = jax.jit(lambda x: (x @ x, x.sum()))
  return [Part('steps', program, (SHAPE,), run) for run in runs]


def test_what_is_said_of_a_run():
  accelerator = get_accelerator('h100')
  before = jax.config.jax_persistent_cache_min_compile_time_secs
  found = forecast.of_parts(parts(36_000_000), accelerator, 'highest')
  assert jax.config.jax_persistent_cache_min_compile_time_secs == before
  title, memory, step, time, best = found.text.splitlines()
  assert 'NVIDIA H100 80GB HBM3, which is not here' in title
  assert 'fits: 0.0 MB of 85.0 GB' in memory
  assert 'kernels, 0.00 GB read and written' in step
  assert ' min of steps, ' in time
  assert f'about {forecast.duration(found.seconds)}: ' in time
  assert time.endswith('of compiling (measured here)')
  assert best.strip().startswith('at best   a step of config cifar10 took ')


@pytest.mark.parametrize(
  ('memory', 'says'),
  [
    (1100, 'fits only if JAX takes more than 75%'),
    (300, 'does not fit: 0.0 MB of 0.0 MB'),
  ],
)
def test_what_does_not_fit(memory, says):
  small = get_accelerator('h100')._replace(memory=memory)
  built = compilation.build(*parts(1)[0][1:3])
  built = built._replace(memory=compilation.Memory(256, 260, 484))
  assert says in forecast.about_memory(built, small)


def test_a_compiler_that_finds_no_room(monkeypatch):
  def no_room(*args):
    raise DeviceMemoryError('Used 40G of 16G.')

  monkeypatch.setattr(compilation, 'build', no_room)
  found = forecast.of_parts(parts(1), get_accelerator('v5e'), 'highest')
  assert found.text.splitlines()[1] == (
    '  memory    does not fit, steps: Used 40G of 16G.'
  )
  assert found.seconds is None


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [(0.44, '0.4 s'), (99, '99 s'), (600, '10 min'), (6000, '1 h 40 min')],
)
def test_durations(seconds, text):
  assert forecast.duration(seconds) == text


@pytest.mark.parametrize(
  ('fields', 'count'),
  [
    # One of four that have weights, then the rest but for skip_connect.
    ({}, 4 + 6 + 5 + 4 + 3 + 2),
    ({'selection': 'random'}, 0),
  ],
)
def test_candidates_that_a_search_scores(fields, count):
  assert count_scored(get_space('darts'), ScheduleConfig(**fields)) == count
