"""What a search leaves when it has ended: its genotype and its results."""

from opp_darts_jax import files
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.running import rank_correlation, results, truth
from opp_darts_jax.running.live_search import LiveSearch
from opp_darts_jax.running.metrics import read_epochs


def write(search: LiveSearch, state: SearchState, ended: str) -> Genotype:
  """Writes down what a search has found.

  Args:
    search: it.
    state: at its end.
    ended: by what: 'all epochs', 'a watcher' or 'the method'.
  """
  folder = search.run.folder
  found = search.method.derive(search.method, search, state)
  files.write_json(folder / 'genotype.json', found.to_dict())
  epochs = read_epochs(folder)
  last = epochs[-1] if epochs else {}
  taken = int(state.step) // search.per_epoch
  if taken and not search.config.evaluates(taken - 1):
    last = search.evaluate(state)  # It has ended early.
  skips = {f'skip_{kind}': found.num_skips(kind) for kind in found.kinds}
  known = truth.of_genotype(search.space, found)
  ranks = rank_correlation.of_search(search, state)
  files.write_json(
    folder / results.RESULTS,
    {
      'ended_by': ended,
      'epochs': len(epochs),
      'eval_accuracy': last.get('eval_accuracy'),
      'eval_loss': last.get('eval_loss'),
      **skips,
      **search.method.numbers(search, state, found),
      **known,
      **ranks,
      'genotype': found.to_dict(),
    },
  )
  if known:
    search.run.screen.say(truth.sentence(known))
  return found
