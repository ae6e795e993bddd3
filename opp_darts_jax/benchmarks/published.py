"""Published results to stand beside ours, each with where it is from.

Accuracies are fractions on test images. On the space of DARTS and on S1 to S4
they are of networks that were trained as their papers say; papers differ in
which of several searches they report and in how wide the networks are, so that
figures of one source compare with each other first of all. On NAS-Bench-201
they are the table's, for the cells that were found.

Figures of which it is not known that they stand in print are left out.
"""

import re
from typing import NamedTuple

from opp_darts_jax.benchmarks import nasbench201


class Published(NamedTuple):
  """A result that was published.

  Attributes:
    method: as a comparison names it, 'SCHEDULE+METHOD' or 'METHOD'.
    space: the search space.
    data: the data set.
    accuracy: on test images.
    spread: standard deviation over searches; None if not given.
    what: is reported: of which searches.
    source: who reports it.
    setting: the method with its arguments, where the paper's are none that it
      has by default; '' else.
  """

  method: str
  space: str
  data: str
  accuracy: float
  spread: float | None
  what: str
  source: str
  setting: str = ''


_ROBUST_DARTS = 'Zela et al., RobustDARTS, ICLR 2020'
_OPP = 'Zhu et al., OPP-DARTS, ICDM 2021'
_PT = 'Wang et al., DARTS-PT, ICLR 2021'
_MINUS = 'Chu et al., DARTS-, ICLR 2021'
_DRNAS = 'Chen et al., DrNAS, ICLR 2021'
_BETA = 'Ye et al., beta-DARTS, CVPR 2022'
_LAMBDA = 'Movahedi et al., Lambda-DARTS, ICLR 2023'
_FAIR = 'Chu et al., FairDARTS, ECCV 2020'
_OLES = 'Jiang et al., OLES, NeurIPS 2023'
_SDARTS = 'Chen and Hsieh, SDARTS, ICML 2020'
# The benchmark's authors ran these, under one protocol.
_NB201 = 'Dong et al., NAS-Bench-201, ICLR 2020, and NATS-Bench, TPAMI 2021'


def _of_nb201(
  method: str,
  accuracies: tuple[float, ...],
  source: str,
  spreads: tuple[float, ...] = (),
) -> list[Published]:
  """Percent on the data sets of the benchmark, as far as given."""
  return [
    Published(
      method,
      'nasbench201',
      data,
      round(percent / 100, 6),
      round(spreads[index] / 100, 6) if spreads else None,
      'mean over searches',
      source,
    )
    for index, (data, percent) in enumerate(zip(nasbench201.DATA, accuracies))
  ]


def _of_robust(
  method: str,
  errors: tuple[float | None, ...],
  what: str,
  source: str,
) -> list[Published]:
  """Test errors in percent of S1 to S4 on CIFAR-10; None where not given."""
  return [
    Published(
      method,
      f's{number}',
      'cifar10',
      round(1 - error / 100, 6),
      None,
      what,
      source,
    )
    for number, error in enumerate(errors, 1)
    if error is not None
  ]


# As the searches for these figures had them; see the configs of their names.
_SETTINGS = {
  'pc_darts': 'pc_darts(partial=4, warmup_epochs=15)',
  'drnas': 'drnas(partial=6, warmup_epochs=10, keep=4)',
  'beta_darts': 'beta_darts(strength=25.0)',
  'lambda_darts': 'lambda_darts(strength=0.25, reach=1e-3)',
}


def _of_darts(
  method: str,
  error: float,
  spread: float | None,
  source: str,
  what: str = '',
  space: str = 'darts',
) -> Published:
  """Test error in percent of the space of DARTS on CIFAR-10."""
  what = what or 'as its paper reports'
  return Published(
    method,
    space,
    'cifar10',
    round(1 - error / 100, 6),
    None if spread is None else round(spread / 100, 6),
    what,
    source,
    _SETTINGS.get(method, ''),
  )


def _without_none(
  method: str, error: float, spread: float | None, source: str, what: str = ''
) -> Published:
  """The same of a search that leaves `none` out of the operations."""
  space = 'darts_without_none'
  return _of_darts(method, error, spread, source, what, space)


_FIRST = 'Liu et al., DARTS, ICLR 2019'
_PT_FIXED = 'darts_pt(holds_alphas=True)'

RESULTS: tuple[Published, ...] = (
  *_of_nb201('darts', (54.30, 15.61, 16.32), _NB201),
  *_of_nb201('enas', (54.30, 15.61, 16.32), _NB201),
  *_of_nb201('random_sharing', (87.66, 58.33, 31.14), _NB201),
  *_of_nb201('setn', (87.64, 59.05, 32.52), _NB201),
  *_of_nb201('gdas', (93.61, 70.70, 41.71), _NB201),
  *_of_nb201('random_search', (93.70, 71.04, 44.57), _NB201),
  *_of_nb201('regularised_evolution', (93.92, 71.84, 45.54), _NB201),
  *_of_nb201('reinforce', (93.85, 71.71, 45.24), _NB201),
  *_of_nb201('bohb', (93.61, 70.85, 44.42), _NB201),
  *_of_nb201('pc_darts', (93.41, 67.48, 41.31), f'{_DRNAS}, a port'),
  *_of_nb201('snas', (92.77, 69.34, 43.16), f'{_DRNAS}, a port'),
  *_of_nb201('darts_minus', (93.80, 71.53, 45.12), _MINUS, (0.40, 1.51, 0.82)),
  *_of_nb201('darts_pt', (88.11,), _PT),
  *_of_nb201(_PT_FIXED, (93.80,), _PT),
  *_of_nb201('drnas', (94.36, 73.51, 46.34), _DRNAS, (0, 0, 0)),
  *_of_nb201('beta_darts', (94.36, 73.51, 46.34), _BETA),
  *_of_nb201('lambda_darts', (94.36, 73.51, 46.34), _LAMBDA),
  *_of_robust('darts', (3.84, 4.85, 3.34, 7.20), 'best', _ROBUST_DARTS),
  *_of_robust(
    'darts', (4.66, 4.42, 4.12, 6.95), 'mean, second order', _ROBUST_DARTS
  ),
  *_of_robust('darts', (None, 5.94, 3.04, 4.85), 'as quoted', _OPP),
  *_of_robust(
    'robust_darts',
    (3.05, 3.41, 3.71, 4.17),
    'mean, second order',
    _ROBUST_DARTS,
  ),
  *_of_robust('progressive+darts', (None, 2.93, 2.90, 3.21), 'best', _OPP),
  *_of_robust('darts_pt', (3.50, 2.79, 2.49, 2.64), 'best', _PT),
  *_of_robust(_PT_FIXED, (2.86, 2.59, 2.52, 2.58), 'best', _PT),
  _of_darts('darts', 3.00, 0.14, _FIRST, 'first order'),
  _of_darts('darts', 2.76, 0.09, _FIRST, 'second order'),
  _of_darts('progressive+darts', 2.63, 0.27, _OPP, 'best of 5, 10 times'),
  _of_darts('pc_darts', 2.57, 0.07, 'Xu et al., PC-DARTS, ICLR 2020'),
  _without_none('darts_pt', 2.61, 0.08, _PT),
  _without_none(_PT_FIXED, 2.87, None, _PT),
  _without_none('sdarts_rs', 2.67, 0.03, _SDARTS),
  _without_none('sdarts_adv', 2.61, 0.02, _SDARTS),
  _of_darts('darts_minus', 2.59, 0.08, _MINUS),
  _without_none('drnas', 2.46, 0.03, _DRNAS),
  _of_darts('gdas', 2.93, None, 'Dong and Yang, GDAS, CVPR 2019'),
  _of_darts('snas', 2.85, 0.02, 'Xie et al., SNAS, ICLR 2019'),
  _without_none('fair_darts', 2.54, 0.05, _FAIR, 'mean of 7 searches'),
  _of_darts('p_darts', 2.50, None, 'Chen et al., P-DARTS, ICCV 2019'),
  _without_none('beta_darts', 2.53, 0.08, _BETA),
  _without_none('lambda_darts', 2.52, 0.11, _LAMBDA),
  _of_darts('oles', 2.41, 0.11, _OLES, 'mean over searches'),
)


def find(method: str, space: str, data: str) -> list[Published]:
  """What was published of a method on a space and a data set, if anything.

  Args:
    method: 'METHOD' or 'SCHEDULE+METHOD', by default or as published; case and
      signs do not count.
    space: name of the space.
    data: 'cifar10', 'cifar100' or 'imagenet16'.
  """
  key = _key(method)
  return [
    found
    for found in RESULTS
    if (found.space, found.data) == (space, data)
    and key in (_key(found.method), _key(found.setting))
  ]


def _key(method: str) -> str:
  return re.sub(r'[^a-z0-9+]', '', method.lower())
