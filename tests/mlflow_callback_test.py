"""The example of a callback: MLflow's file store has what a search found."""

import importlib.util
import pathlib

import pytest
from genotype_cells import TINY
from launched import ROOT

from opp_darts_jax import EpochRecord

mlflow = pytest.importorskip('mlflow', reason='mlflow-skinny is not installed')


@pytest.fixture
def callback():
  path = ROOT / 'experiments' / 'mlflow_callback.py'
  spec = importlib.util.spec_from_file_location('mlflow_callback', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.tell_mlflow


def test_mlflow_is_told_of_every_epoch(callback, tmp_path, monkeypatch):
  # Files need no server; later releases ask whether one means it.
  monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
  uri = (tmp_path / 'store').as_uri()
  mlflow.set_tracking_uri(uri)
  with mlflow.start_run() as run:
    for epoch in range(2):
      metrics = {
        'eval_accuracy': 0.25 + epoch,
        'skip_share_normal': 0.5,
        'entropy_normal': float('nan') if epoch == 0 else 0.75,
      }
      record = EpochRecord(epoch, 2, 3, metrics, TINY, {}, (), tmp_path)
      assert callback(record) is None
  client = mlflow.tracking.MlflowClient(uri)

  def history(name):
    found = client.get_metric_history(run.info.run_id, name)
    return [(m.step, m.value) for m in found]

  assert history('eval_accuracy') == [(0, 0.25), (1, 1.25)]
  assert history('entropy_normal') == [(1, 0.75)]
  stored = mlflow.artifacts.load_dict(f'{run.info.artifact_uri}/genotype.json')
  assert stored == TINY.to_dict()
  assert pathlib.Path(tmp_path / 'store').is_dir()
