"""What a search leaves when it has ended: its genotype and its results."""

import pathlib

from opp_darts_jax import files
from opp_darts_jax.config import SearchConfig
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods import answers
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.networks import summary
from opp_darts_jax.networks.network import Network
from opp_darts_jax.recorded import GENOTYPE, INPUTS, RESULTS
from opp_darts_jax.running.searches import rank_correlation
from opp_darts_jax.running.searches.live import LiveSearch
from opp_darts_jax.running.workdirs import results
from opp_darts_jax.running.workdirs.metrics import read_epochs
from opp_darts_jax.spaces import truth
from opp_darts_jax.spaces.catalogue import get_space
from opp_darts_jax.spaces.space import Space


def write_results(
  search: LiveSearch,
  state: SearchState,
  ended: str,
  trained: SearchState,
  found: Genotype | None = None,
) -> Genotype:
  """Writes down what a search has found.

  Args:
    search: it.
    state: at its end.
    ended: by what: 'all epochs', 'a watcher' or 'the method'.
    trained: the state that the last epoch has left. A method that ends the
      search may have gone back to earlier alphas since, but not to the weights
      that went with them.
    found: what is derived of the state; None derives it.
  """
  folder = search.run.folder
  if found is None:
    found = answers.derived(search.method, search, state)
  files.write_json(folder / GENOTYPE, found.to_dict())
  epochs = read_epochs(folder)
  last = epochs[-1] if epochs else {}
  taken = int(state.step) // search.per_epoch
  if taken and not search.config.evaluates(taken - 1):
    last = search.evaluate(trained)  # It has ended early.
  skips = {f'skip_{kind}': found.num_skips(kind) for kind in found.kinds}
  known = truth.of_genotype(search.space, found)
  ranks = rank_correlation.of_search(search, trained)
  files.write_json(
    folder / RESULTS,
    {
      'ended_by': ended,
      'epochs': len(epochs),
      'eval_accuracy': last.get('eval_accuracy'),
      'eval_loss': last.get('eval_loss'),
      **skips,
      **answers.told(search.method, search, state, found),
      **known,
      **ranks,
      # Of the last epoch: a method may have let the supernet grow.
      'supernet': search.size,
      'genotype': found.to_dict(),
    },
  )
  if known:
    search.run.screen.say(truth.sentence(known))
  return found


def count_network(
  workdir: pathlib.Path, config: SearchConfig, space: Space | None = None
) -> None:
  """Adds to a search's results what a network of its cells takes.

  That of as many cells and channels as the supernet had in the end, for as many
  classes: `network` has `weights` and `multiply_adds`, see `summary.totals`. A
  search that has not finished, or has them, is left as it is.

  Args:
    workdir: of the search.
    config: of it.
    space: None takes the one that the config names.
  """
  found = results.finished(workdir, GENOTYPE)
  made_of = files.read_json(workdir / INPUTS) or {}
  if not found or 'network' in found or 'data' not in made_of:
    return
  space = space or get_space(config.space, config.nodes)
  begun = {'layers': config.layers, 'channels': config.channels}
  size = begun | found.get('supernet', {})  # Earlier releases did not say it.
  network = Network(
    Genotype.from_dict(found['genotype']),
    size['layers'],
    size['channels'],
    len(made_of['data']['classes']),
    auxiliary=False,
    space=space,
  )
  counted = summary.of_network(network, made_of['data']['image_shape'])
  files.write_json(workdir / RESULTS, found | {'network': counted})
