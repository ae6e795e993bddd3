"""Files that a user gives: read, or refused by errors that callers expect."""

import io
import threading
from concurrent import futures

import numpy as np
import pytest

from opp_darts_jax.files import read_npz, replacing, write_text


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_an_npz_is_read_or_refused_whatever_is_damaged(save, tmp_path):
  path = tmp_path / 'a.npz'
  save(path, a=np.arange(3), b=np.ones((2, 2)))
  whole = path.read_bytes()
  found = read_npz(path)
  np.testing.assert_array_equal(found['a'], np.arange(3))
  assert sorted(found) == ['a', 'b']
  array = io.BytesIO()
  np.save(array, np.arange(3))
  damaged = [b'', b'hello', array.getvalue(), whole[:-30], whole[30:] + b'x']
  for at in range(len(whole)):
    for bits in (0xFF, 0x01):
      changed = bytearray(whole)
      changed[at] ^= bits
      damaged.append(changed)
  refused = []
  for content in damaged:
    path.write_bytes(content)
    try:
      read_npz(path)
    except (OSError, ValueError) as error:
      refused.append(str(error))
  assert len(refused) > len(whole) / 2
  assert not any('unsafely' in said for said in refused)
  with pytest.raises(FileNotFoundError):
    read_npz(tmp_path / 'gone.npz')


def test_two_may_write_a_file_at_a_time(tmp_path):
  path, both = tmp_path / 'a.txt', threading.Barrier(2, timeout=60)

  def write(text):
    with replacing(path) as temporary:
      both.wait()
      temporary.write_text(text)
      both.wait()

  texts = ['one' * 9, 'two' * 7]
  with futures.ThreadPoolExecutor(2) as pool:
    list(pool.map(write, texts))
  assert path.read_text() in texts
  assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_by_one_of_the_usual_mode_or_not_at_all(tmp_path):
  path, usual = tmp_path / 'a.txt', tmp_path / 'usual'
  usual.touch()
  write_text(path, 'whole')
  assert path.stat().st_mode == usual.stat().st_mode
  with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
    temporary.write_text(str(1 / 0))
  assert path.read_text() == 'whole'
  assert sorted(tmp_path.iterdir()) == [path, usual]
