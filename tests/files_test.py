"""Files that a user gives: read, or refused by errors that callers expect."""

import io

import numpy as np
import pytest

from opp_darts_jax.files import read_npz


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
