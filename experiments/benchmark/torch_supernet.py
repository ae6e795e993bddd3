"""The supernet of DARTS in plain PyTorch, run eagerly: what ours is measured
against. Its tensors are named as `networks.export.torch_weights` expects them.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

FINITE_DIFFERENCE_STEP = 0.01


def _norm(channels: int, affine: bool = False) -> nn.BatchNorm2d:
  return nn.BatchNorm2d(channels, affine=affine)


class _Sequence(nn.Module):
  """Layers under the name `op`."""

  def __init__(self, *layers: nn.Module):
    super().__init__()
    self.op = nn.Sequential(*layers)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return self.op(x)


def _depthwise_separable(
  channels: int, size: int, stride: int, dilation: int, repeats: int
) -> _Sequence:
  layers: list[nn.Module] = []
  for i in range(repeats):
    layers += [
      nn.ReLU(),
      nn.Conv2d(
        channels,
        channels,
        size,
        stride=stride if i == 0 else 1,
        padding=dilation * (size - 1) // 2,
        dilation=dilation,
        groups=channels,
        bias=False,
      ),
      nn.Conv2d(channels, channels, 1, bias=False),
      _norm(channels),
    ]
  return _Sequence(*layers)


class _FactorizedReduce(nn.Module):
  def __init__(self, inputs: int, outputs: int):
    super().__init__()
    self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
    self.conv_2 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
    self.bn = _norm(outputs)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    x = functional.relu(x)
    halves = self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])
    return self.bn(torch.cat(halves, 1))


class _Zero(nn.Module):
  def __init__(self, stride: int):
    super().__init__()
    self.stride = stride

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    return x[:, :, :: self.stride, :: self.stride] * 0.0


def _operation(name: str, channels: int, stride: int) -> nn.Module:
  if name == 'none':
    return _Zero(stride)
  if name == 'skip_connect':
    if stride == 1:
      return nn.Identity()
    return _FactorizedReduce(channels, channels)
  if name.endswith('pool_3x3'):
    pool = (
      nn.MaxPool2d(3, stride, 1)
      if name.startswith('max')
      else nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    )
    return nn.Sequential(pool, _norm(channels))
  size = int(name[-1])
  dilated = name.startswith('dil')
  return _depthwise_separable(
    channels, size, stride, 1 + dilated, 1 if dilated else 2
  )


class _Edge(nn.Module):
  def __init__(self, operations: Sequence[str], channels: int, stride: int):
    super().__init__()
    self._ops = nn.ModuleList(
      _operation(name, channels, stride) for name in operations
    )

  def forward(self, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return sum(w * operation(x) for w, operation in zip(weights, self._ops))


def _relu_conv_norm(inputs: int, outputs: int) -> _Sequence:
  convolution = nn.Conv2d(inputs, outputs, 1, bias=False)
  return _Sequence(nn.ReLU(), convolution, _norm(outputs))


class _Cell(nn.Module):
  def __init__(
    self,
    operations: Sequence[str],
    nodes: int,
    inputs: tuple[int, int],
    channels: int,
    reduction: bool,
    after_reduction: bool,
  ):
    super().__init__()
    self.nodes, self.reduction = nodes, reduction
    first = _FactorizedReduce if after_reduction else _relu_conv_norm
    self.preprocess0 = first(inputs[0], channels)
    self.preprocess1 = _relu_conv_norm(inputs[1], channels)
    self._ops = nn.ModuleList(
      _Edge(operations, channels, 2 if reduction and source < 2 else 1)
      for node in range(nodes)
      for source in range(2 + node)
    )

  def forward(
    self, s0: torch.Tensor, s1: torch.Tensor, weights: torch.Tensor
  ) -> torch.Tensor:
    states = [self.preprocess0(s0), self.preprocess1(s1)]
    edges = iter(zip(self._ops, weights))
    for _ in range(self.nodes):
      states.append(
        sum(edge(x, w) for x, (edge, w) in zip(tuple(states), edges))
      )
    return torch.cat(states[-self.nodes :], 1)


class Supernet(nn.Module):
  """All the operations on every edge, as published (DARTS, section 2)."""

  def __init__(
    self,
    operations: Sequence[str],
    nodes: int,
    layers: int,
    channels: int,
    classes: int,
  ):
    super().__init__()
    self.stem = nn.Sequential(
      nn.Conv2d(3, 3 * channels, 3, padding=1, bias=False),
      _norm(3 * channels, affine=True),
    )
    self.cells = nn.ModuleList()
    before, last, after_reduction = 3 * channels, 3 * channels, False
    for layer in range(layers):
      reduction = layer in (layers // 3, 2 * layers // 3)
      channels *= 1 + reduction
      self.cells.append(
        _Cell(
          operations,
          nodes,
          (before, last),
          channels,
          reduction,
          after_reduction,
        )
      )
      before, last, after_reduction = last, nodes * channels, reduction
    self.classifier = nn.Linear(last, classes)

  def forward(
    self, images: torch.Tensor, alphas: dict[str, torch.Tensor]
  ) -> torch.Tensor:
    """(B, 3, H, W), {'normal': (E, K), 'reduce': (E, K)} -> (B, classes)."""
    weights = {cell: table.softmax(-1) for cell, table in alphas.items()}
    s0 = s1 = self.stem(images)
    for cell in self.cells:
      table = weights['reduce' if cell.reduction else 'normal']
      s0, s1 = s1, cell(s0, s1, table)
    return self.classifier(s1.mean((2, 3)))


class Search:
  """The steps of a search with DARTS's own settings.

  Args:
    model: the supernet.
    alphas: its tables, leaves that require gradients.
    train: images and labels for the weights.
    val: images and labels for the alphas.
  """

  def __init__(
    self,
    model: Supernet,
    alphas: dict[str, torch.Tensor],
    train: tuple[torch.Tensor, torch.Tensor],
    val: tuple[torch.Tensor, torch.Tensor],
  ):
    self.model, self.alphas, self.train, self.val = model, alphas, train, val
    self.rate = 0.025
    self.weights = list(model.parameters())
    self.sgd = torch.optim.SGD(
      self.weights, self.rate, momentum=0.9, weight_decay=3e-4
    )
    self.adam = torch.optim.Adam(
      alphas.values(), 3e-4, betas=(0.5, 0.999), weight_decay=1e-3
    )

  def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Mean cross entropy of a batch."""
    images, labels = batch
    return functional.cross_entropy(self.model(images, self.alphas), labels)

  def forward(self) -> None:
    """What scoring a candidate runs: training mode, no gradients."""
    with torch.no_grad():
      self.loss(self.train)

  def weight(self) -> None:
    """A step of the weights on D_train."""
    self.sgd.zero_grad()
    self.loss(self.train).backward()
    nn.utils.clip_grad_norm_(self.weights, 5.0)
    self.sgd.step()

  def first(self) -> None:
    """A first-order alpha step, then a weight step."""
    self.adam.zero_grad()
    self.loss(self.val).backward()
    self.adam.step()
    self.weight()

  def second(self) -> None:
    """A second-order alpha step by finite differences, then a weight step."""
    alphas = list(self.alphas.values())
    before = [w.detach().clone() for w in self.weights]
    gradients = torch.autograd.grad(self.loss(self.train), self.weights)
    with torch.no_grad():
      for w, g in zip(self.weights, gradients):
        velocity = self.sgd.state[w].get('momentum_buffer')
        moved = g + 3e-4 * w
        if velocity is not None:
          moved = moved + 0.9 * velocity
        w -= self.rate * moved
    both = torch.autograd.grad(self.loss(self.val), alphas + self.weights)
    outer, direction = both[: len(alphas)], both[len(alphas) :]
    squares = sum(d.square().sum() for d in direction)
    step = FINITE_DIFFERENCE_STEP / squares.sqrt()
    ends = []
    for sign in (1.0, -1.0):
      with torch.no_grad():
        for w, b, d in zip(self.weights, before, direction):
          w.copy_(b + sign * step * d)
      ends.append(torch.autograd.grad(self.loss(self.train), alphas))
    with torch.no_grad():
      for w, b in zip(self.weights, before):
        w.copy_(b)
      for a, o, plus, minus in zip(alphas, outer, *ends):
        a.grad = o - self.rate * (plus - minus) / (2 * step)
    self.adam.step()
    self.weight()
