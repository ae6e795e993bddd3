"""The fields of configs as a page, docs/config.md.

    python experiments/config_page.py

Names, defaults and what they mean are those of the package's docstrings.
"""

import dataclasses
import inspect
import pathlib
import re
from typing import Any

from opp_darts_jax.config import RunConfig, SearchConfig, TrainConfig

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'config.md'
_HEAD = """\
# Fields of a config

What `--config.FIELD=VALUE` changes, what a config file gives to `SearchConfig`
and `TrainConfig`, and what `search` and `train` take as keyword arguments; a
group is a mapping there: `data={'flip': False}`. Defaults are those of the two
classes, and so of Python: what was published for CIFAR-10. The command line
begins with a named config instead, `digits` if none is named; a run's
`config.json` has every field that it ran with.

(Made by `python experiments/config_page.py`.)
"""
# "  name: what it is", and on lines that stand further in what follows.
_FIELD = re.compile(r'^  (\w+): (.*(?:\n    .*)*)', re.MULTILINE)


def documented(cls: type) -> dict[str, str]:
  """Field of a dataclass -> what its own docstring says."""
  text = inspect.cleandoc(cls.__doc__ or '')
  return {name: ' '.join(s.split()) for name, s in _FIELD.findall(text)}


def section(title: str, cls: type, **configs: Any) -> str:
  """A table of what a class documents, with the defaults of each config."""
  lines = [f'## {title}\n', f'| field | {" | ".join(configs)} | what |']
  lines.append('|---' * (2 + len(configs)) + '|')
  for name, text in documented(cls).items():
    values = [getattr(config, name) for config in configs.values()]
    if not dataclasses.is_dataclass(values[0]):
      cells = (f'`{name}`', *(f'`{value!r}`' for value in values), text)
      lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join((*lines, ''))


def page() -> str:
  """The page's text."""
  search, train = SearchConfig(), TrainConfig()
  parts = [
    _HEAD,
    section('Of both', RunConfig, search=search, training=train),
    section('Of a search', SearchConfig, default=search),
    section('Of a training', TrainConfig, default=train),
  ]
  for field in dataclasses.fields(search):
    group = getattr(search, field.name)
    if dataclasses.is_dataclass(group):
      of = {'search': group}
      if hasattr(train, field.name):
        of['training'] = getattr(train, field.name)
      parts.append(section(f'`{field.name}`', type(group), **of))
  return '\n'.join(parts)


if __name__ == '__main__':
  PAGE.write_text(page())
