"""The page of a run: its main facts, and its pictures."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px sans-serif; max-width: 64em; margin: 2em auto; }}
th {{ text-align: left; padding-right: 2em; font-weight: normal; color: #666; }}
img {{ max-width: 100%; }}
</style>
<h1>{title}</h1>
<table>
{rows}
</table>
{pictures}
</html>
"""


def page(
  title: str, facts: Mapping[str, str], captions: Mapping[str, str]
) -> str:
  """The page as HTML.

  Args:
    title: of the page.
    facts: in reading order.
    captions: of the pictures, by the name of their file.
  """
  rows = '\n'.join(
    f'<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>'
    for key, value in facts.items()
  )
  pictures = '\n'.join(
    f'<h2>{html.escape(caption)}</h2>\n'
    f'<img src="{html.escape(name)}" alt="{html.escape(caption)}">'
    for name, caption in captions.items()
  )
  return _PAGE.format(title=html.escape(title), rows=rows, pictures=pictures)


def run_facts(
  config: Mapping[str, Any],
  results: Mapping[str, Any],
  records: Iterable[Mapping[str, Any]],
  times: Iterable[Mapping[str, Any]],
  space: Mapping[str, Any],
) -> dict[str, str]:
  """The main facts of a run, in reading order, those that are known."""
  epochs = [r for r in records if r['kind'] == 'epoch']
  last = epochs[-1] if epochs else {}
  data = config.get('data') or {}
  facts: dict[str, Any] = {
    'data': data.get('source'),
    'space': space.get('name') or config.get('space'),
    'seed': config.get('seed'),
    'epochs': f'{len(epochs)} of {config.get("epochs", "?")}',
    'time (min)': sum(r['seconds'] for r in times) / 60 or None,
  }
  facts |= {
    key.replace('_', ' '): last[key] for key in last if 'accuracy' in key
  }
  facts |= {key.replace('_', ' '): value for key, value in results.items()}
  return {
    key: ', '.join(map(_number, value.values()))
    if key.endswith('by seed')
    else _number(value)
    for key, value in facts.items()
    if isinstance(value, str | int | float) or key.endswith('by seed')
  }


def _number(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)
