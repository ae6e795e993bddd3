"""Has a search collapsed? A sentence, from its metrics and its space's rule.

Collapse is what a search into skip connections is called: cells that shorten
the supernet's way instead of computing. A search that ended with few of them
has not shown that its cell is good.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from opp_darts_jax.methods.signs import APART, WINDOW, growth_of, skip_share
from opp_darts_jax.reporting.derived import FOUND, genotype_of, with_cells
from opp_darts_jax.reporting.styles import Styles

Level = Literal['unknown', 'healthy', 'at risk', 'collapsed']
Record = Mapping[str, Any]

# DARTS+ (Liang et al., 2019) stops a search at as many in the normal cell, of
# eight edges in four nodes; in cells of another size the share counts.
_DARTS_PLUS = 2
_DARTS_EDGES = 8
# Epochs over which a share that only grows is a trend.
_TREND = 3
# RobustDARTS (Zela et al., ICLR 2020), see signs.growth_of.
_FACTOR = 1.3
# Of an entropy: two operations of 0.56 and 0.44 have it.
_UNDECIDED = 0.99


class Judgement(NamedTuple):
  """What the signs of collapse say together.

  Attributes:
    level: 'healthy', 'at risk' or 'collapsed'; 'unknown' before an epoch ended.
    sentence: what is seen and by which rule it is judged.
    rule: its name.
  """

  level: Level
  sentence: str
  rule: str


def judge(records: Sequence[Record], space: Mapping[str, Any]) -> Judgement:
  """Judges a search by its last epochs.

  Args:
    records: the lines of its metrics; those of epochs count, and what is known
      up to it of the line of what the search gave, see `derived.found`.
    space: what its `space.json` holds; may be empty.

  Returns:
    The judgement of the first rule that applies, the worst level first.
  """
  epochs = _epochs(records)
  gave = [_with_shares(r) for r in records if r.get('kind') == FOUND]
  if epochs and gave:
    before = [r for r in epochs if r['epoch'] < gave[-1]['epoch']]
    epochs = [*before, gave[-1]]
  return _judge(epochs, space)


def _epochs(records: Sequence[Record]) -> list[Record]:
  return [_with_shares(r) for r in records if r.get('kind') == 'epoch']


def _judge(epochs: Sequence[Record], space: Mapping[str, Any]) -> Judgement:
  kind = _judged_kind(epochs, space)
  if kind is None:
    said = 'Unknown: no cell has been derived yet.'
    return Judgement('unknown', said, 'none')
  for rule in (
    _too_many_skips,
    _no_parameters,
    _growing_skips,
    _growing_eigenvalue,
  ):
    found = rule(epochs, kind, space)
    if found is not None:
      return found
  share = epochs[-1][f'skip_share_{kind}']
  said = (
    f'Healthy: {share:.0%} of the edges of {_cell(kind)} are skip '
    f'connections{_trend(epochs, kind)}'
  )
  grown = growth_of_eigenvalue(epochs)
  if grown is not None:
    said += f'; the eigenvalue is {grown:.2f} times the earlier one'
  said += f'. No rule for collapse applies{_undecided(epochs[-1], kind)}.'
  free, edges = _without_parameters(epochs[-1], kind, space)
  if edges and 2 * free > edges:
    said += f' Yet {free} of {edges} edges have no parameters.'
  return Judgement('healthy', said, 'none')


def levels(
  records: Sequence[Record], space: Mapping[str, Any]
) -> list[tuple[int, int, Level]]:
  """What was judged after each epoch: (first, last, level) of epochs alike."""
  epochs = _epochs(records)
  found: list[tuple[int, int, Level]] = []
  for end, record in enumerate(epochs, start=1):
    level = _judge(epochs[:end], space).level
    if found and found[-1][2] == level:
      found[-1] = (found[-1][0], record['epoch'], level)
    else:
      found.append((record['epoch'], record['epoch'], level))
  return found


def _with_shares(record: Record) -> Record:
  """A line of an earlier release gets what its genotype tells."""
  if not record.get('genotype') or any(
    name.startswith('skip_share_') for name in record
  ):
    return record
  genotype = genotype_of(record)
  told = dict(record)
  for cell in genotype.cells:
    told[f'skip_{cell.kind}'] = genotype.num_skips(cell.kind)
    told[f'skip_share_{cell.kind}'] = skip_share(genotype, cell.kind)
  return told


def _judged_kind(
  epochs: Sequence[Record], space: Mapping[str, Any]
) -> str | None:
  """The normal cell, or the only kind there is, if its share is known.

  Of a kind that the supernet has none of, nothing was learnt.
  """
  if not epochs:
    return None
  prefix = 'skip_share_'
  kinds = [n.removeprefix(prefix) for n in epochs[-1] if n.startswith(prefix)]
  kinds = with_cells(kinds, space)
  return 'normal' if 'normal' in kinds else next(iter(kinds), None)


def _too_many_skips(
  epochs: Sequence[Record], kind: str, space: Mapping[str, Any]
) -> Judgement | None:
  last = epochs[-1]
  share, skips = last[f'skip_share_{kind}'], last.get(f'skip_{kind}')
  edges = round(skips / share) if skips and share else None
  where = _where(last)
  if space.get('name') == 'nasbench201':
    if share < 1:
      return None
    said = (
      f'Collapsed: {where} all {edges} edges of the cell are skip connections, '
      'the cell to which plain DARTS is known to collapse in NAS-Bench-201.'
    )
    return Judgement('collapsed', said, 'all skip connections')
  limit = _DARTS_PLUS / _DARTS_EDGES
  if share < limit or not skips:
    return None
  said = (
    f'Collapsed by the rule of DARTS+: {where} {skips} of {edges} edges of '
    f'{_cell(kind)} are skip connections, and it stops a search at '
    f'{_DARTS_PLUS} of {_DARTS_EDGES}{_undecided(last, kind)}.'
  )
  return Judgement('collapsed', said, 'DARTS+')


def _no_parameters(
  epochs: Sequence[Record], kind: str, space: Mapping[str, Any]
) -> Judgement | None:
  free, edges = _without_parameters(epochs[-1], kind, space)
  if edges == 0:
    said = (
      f'Collapsed: {_where(epochs[-1])} {_cell(kind)} has no edges, so that '
      'nothing gets through it and nothing on it can be learnt.'
    )
    return Judgement('collapsed', said, 'no parameters')
  if edges is None or free < edges:
    return None
  said = (
    f'Collapsed: {_where(epochs[-1])} none of the {edges} edges of '
    f'{_cell(kind)} has an operation with parameters, so that nothing on them '
    f'can be learnt{_undecided(epochs[-1], kind)}.'
  )
  return Judgement('collapsed', said, 'no parameters')


def _without_parameters(
  record: Record, kind: str, space: Mapping[str, Any]
) -> tuple[int, int | None]:
  """How many edges of a derived cell have no parameters, and its edges.

  None of a line without the cell.
  """
  if not record.get('genotype'):
    return 0, None
  genotype = genotype_of(record)
  if kind not in genotype.kinds:
    return 0, None
  styles, edges = Styles(space), genotype[kind].edges
  return sum(not styles[e.operation].parametric for e in edges), len(edges)


def _where(record: Record) -> str:
  if record['kind'] == FOUND:
    return 'in what the search gave,'
  return f'at epoch {record["epoch"]},'


def _cell(kind: str) -> str:
  return 'the cell' if kind == 'cell' else f'the {kind} cell'


def _undecided(last: Record, kind: str) -> str:
  """What has to be said where the choice of operations is hardly one."""
  entropy = last.get(f'entropy_{kind}')
  if entropy is None or entropy <= _UNDECIDED:
    return ''
  return (
    '; but operation weights are still nearly equal, so that little decides '
    f'between operations (entropy {entropy:.3f} of 1)'
  )


def _growing_skips(
  epochs: Sequence[Record], kind: str, space: Mapping[str, Any]
) -> Judgement | None:
  del space
  known = _last_shares(epochs, kind)
  if len(known) <= _TREND or known[-1] <= known[0] or known != sorted(known):
    return None
  said = (
    f'At risk: the share of skip connections in {_cell(kind)} has grown from '
    f'{known[0]:.0%} to {known[-1]:.0%} over {_TREND} epochs.'
  )
  return Judgement('at risk', said, 'growing skip connections')


def _trend(epochs: Sequence[Record], kind: str) -> str:
  """What is to be said of shares that have not only grown."""
  known = _last_shares(epochs, kind)
  if len(known) <= _TREND:
    return ''
  steadily = ' steadily' if known[-1] > known[0] else ''
  return f' and their share has not grown{steadily} over {_TREND} epochs'


def _last_shares(epochs: Sequence[Record], kind: str) -> list[float]:
  """Those by which a trend is told, as far as they are known."""
  shares = [r.get(f'skip_share_{kind}') for r in epochs[-_TREND - 1 :]]
  return [share for share in shares if share is not None]


def growth_of_eigenvalue(epochs: Sequence[Record]) -> float | None:
  """The mean of the last five eigenvalues over that of four measures before.

  None before there are as many, or where the earlier mean is not above 0.
  """
  known = [r['eigenvalue'] for r in epochs if r.get('eigenvalue') is not None]
  if len(known) < WINDOW + APART:
    return None
  earlier = sum(known[-WINDOW - APART : -APART])
  return growth_of(known) if earlier > 0 else None


def _growing_eigenvalue(
  epochs: Sequence[Record], kind: str, space: Mapping[str, Any]
) -> Judgement | None:
  del kind
  grown = growth_of_eigenvalue(epochs)
  if grown is None or grown <= _FACTOR:
    return None
  said = (
    'At risk by the rule of RobustDARTS: the largest eigenvalue of the '
    f"validation loss's Hessian in alpha, averaged over {WINDOW} measures, is "
    f'{grown:.2f} times that of {APART} measures before, above {_FACTOR}. It '
    'is a weak sign: in published logs it follows skip connections in s1 (rank '
    'correlation 0.76) and not in s3 (-0.04)'
  )
  name = space.get('name')
  elsewhere = f'; for {name} there is none' if name not in ('s1', 's3') else ''
  return Judgement('at risk', f'{said}{elsewhere}.', 'RobustDARTS')
