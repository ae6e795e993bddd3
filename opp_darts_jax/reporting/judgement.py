"""Whether a search has collapsed into skip connections, in a sentence."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Record = Mapping[str, Any]


class Judgement(NamedTuple):
  """What is to be thought of a search.

  Attributes:
    level: 'healthy', 'at risk' or 'collapsed'; 'unknown' before an epoch ended.
    sentence: for a person.
    rule: by which it was judged.
  """

  level: str
  sentence: str
  rule: str


def judge(records: Sequence[Record], space: Mapping[str, Any]) -> Judgement:
  """Judges by the skip connections of the derived normal cell.

  Args:
    records: the lines of a search.
    space: the contents of its space.json.
  """
  kinds = space.get('kinds') or ['normal']
  kind = 'normal' if 'normal' in kinds else kinds[0]
  shares = [
    r[f'skip_share_{kind}']
    for r in records
    if r['kind'] == 'epoch' and r.get(f'skip_share_{kind}') is not None
  ]
  rule = (
    'collapsed: at least half of the edges of the derived cell are skip '
    'connections; at risk: at least a quarter.'
  )
  if not shares:
    return Judgement('unknown', 'No cell has been derived yet.', rule)
  share = shares[-1]
  level = (
    'collapsed' if share >= 0.5 else 'at risk' if share >= 0.25 else 'healthy'
  )
  said = f'{share:.0%} of the edges of the {kind} cell are skip connections.'
  return Judgement(level, said, rule)
