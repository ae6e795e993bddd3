"""Tells MLflow of a search, as an example of a callback.

  pip install mlflow-skinny
  python experiments/mlflow_callback.py --workdir=runs/digits/tracked

MLflow goes by its own settings, such as $MLFLOW_TRACKING_URI; --config and its
fields are as for `opp-darts search`. `opp_darts_jax.search` takes the callback
too.
"""

import math
import numbers

from absl import flags

from opp_darts_jax import EpochRecord, SearchConfig
from opp_darts_jax.config.fields import as_json
from opp_darts_jax.launchers import launch


def tell_mlflow(record: EpochRecord) -> None:
  """Logs an epoch's numbers and genotype to the MLflow run that is active."""
  import mlflow

  known = {
    name: float(value)
    for name, value in record.metrics.items()
    if isinstance(value, numbers.Real) and math.isfinite(value)
  }
  mlflow.log_metrics(known, step=record.epoch)
  mlflow.log_dict(record.genotype.to_dict(), 'genotype.json')


def main() -> None:
  """Searches, and tells MLflow of it."""
  import mlflow

  from opp_darts_jax.running.searches.search import run_search

  config = SearchConfig.from_dict(flags.FLAGS.config.to_dict())
  with mlflow.start_run(run_name=flags.FLAGS.workdir):
    mlflow.log_dict(as_json(config), 'config.json')
    run_search(config, flags.FLAGS.workdir, on_epoch=tell_mlflow)


if __name__ == '__main__':
  launch.define_config('digits')
  flags.DEFINE_string('workdir', None, 'Folder of the run.', required=True)
  launch.run(main, 'digits')
