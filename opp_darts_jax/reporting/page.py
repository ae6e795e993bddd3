"""The pages' templates: where they are, and what they may call."""

import functools
import pathlib
from typing import Any

import jinja2

from opp_darts_jax import __version__
from opp_darts_jax.reporting import amounts

_TEMPLATES = pathlib.Path(__file__).parent / 'templates'


@functools.cache
def environment() -> jinja2.Environment:
  """The templates; what they are given is escaped."""
  found = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_TEMPLATES),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
  )
  found.filters['percent'] = amounts.percent
  found.filters['number'] = amounts.number
  found.globals['version'] = __version__
  return found


def render(name: str, **values: Any) -> str:
  """The text of a template."""
  return environment().get_template(name).render(**values)
