"""Configs of runs that earlier releases began, as this one would write them."""

from collections.abc import Callable, Mapping
from typing import Any

from opp_darts_jax.config.fields import as_json
from opp_darts_jax.config.search import SearchConfig
from opp_darts_jax.config.train import TrainConfig

_SCHEDULES = {'opp': 'progressive', 'darts': 'plain'}


def kind_of(found: Mapping[str, Any]) -> type[SearchConfig | TrainConfig]:
  """Of which kind a stored config is."""
  return TrainConfig if 'genotype' in found else SearchConfig


def of_now(
  found: Mapping[str, Any],
  kind: Callable[[], Any] | None = None,
) -> dict[str, Any]:
  """A stored config with the names and the fields of today.

  Args:
    found: what `config.json` holds.
    kind: of config, of whose defaults is what was not there yet when the run
      began; None is `kind_of` what is found.
  """
  renamed = dict(found)
  schedule = dict(found.get('schedule') or {})
  if 'method' in schedule:
    method = schedule.pop('method')
    schedule = {'name': _SCHEDULES.get(method, method), **schedule}
    renamed['schedule'] = schedule
    if renamed.get('nodes') == 4:
      renamed['nodes'] = 0  # It was the default; all spaces had it.
  return _filled(renamed, as_json((kind or kind_of(found))()))


def _filled(
  found: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
  """With what is missing, in groups of fields too."""
  filled = {**defaults, **found}
  for name, value in defaults.items():
    if isinstance(value, Mapping) and isinstance(found.get(name), Mapping):
      filled[name] = _filled(found[name], value)
  return filled
