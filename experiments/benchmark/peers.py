"""PyTorch's supernet with the weights of ours, on the same batches."""

import jax
import numpy as np
import torch
from steps import SPACE
from torch_supernet import Search as PeerSearch
from torch_supernet import Supernet as Peer

from opp_darts_jax.methods.state import Batch, SearchState
from opp_darts_jax.networks.export.torch_weights import supernet_to_torch
from opp_darts_jax.supernet.supernet import Supernet


def build_peer(
  model: Supernet,
  state: SearchState,
  operations: tuple[str, ...],
  batches: tuple[Batch, Batch],
  channels_last: bool,
  device: str = '',
) -> PeerSearch:
  """PyTorch's supernet of these operations, with our weights.

  Args:
    model: our supernet.
    state: of the search.
    operations: that the peer has, in the order of the space.
    batches: of D_train and D_val.
    channels_last: whether its tensors are in this memory format.
    device: as PyTorch names it; '' is like ours.
  """
  device = device or ('cuda' if jax.default_backend() == 'gpu' else 'cpu')
  layout = torch.channels_last if channels_last else torch.contiguous_format
  nodes = SPACE.graph.nodes
  peer = Peer(operations, nodes, model.layers, model.channels, model.classes)
  tensors = supernet_to_torch({'params': state.weights}, model, operations)
  weights = {name: torch.from_numpy(w.copy()) for name, w in tensors.items()}
  missing = peer.load_state_dict(weights, strict=False).missing_keys
  assert all('running' in m or 'num_batches' in m for m in missing), missing
  columns = [SPACE.names.index(name) for name in operations]
  alphas = {
    cell: torch.tensor(
      np.asarray(table)[:, columns], device=device, requires_grad=True
    )
    for cell, table in state.alphas.items()
  }

  def to_torch(batch):
    images = torch.from_numpy(
      np.moveaxis(np.asarray(batch.images), -1, 1).copy()
    )
    labels = torch.from_numpy(np.asarray(batch.labels)).long()
    return images.to(device, memory_format=layout), labels.to(device)

  train, val = map(to_torch, batches)
  peer = peer.to(device, train[0].dtype, memory_format=layout).train()
  return PeerSearch(peer, alphas, train, val)
