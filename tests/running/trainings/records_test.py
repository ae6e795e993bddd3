"""What a training writes down of a test."""

import numpy as np

from opp_darts_jax.running.evaluation import Evaluation
from opp_darts_jax.running.trainings.records import describe


def test_classes_of_one_name_have_their_labels_behind_it():
  confusion = np.diag([1, 3, 4]) + np.eye(3, k=-1, dtype=int)
  found = describe(
    Evaluation(np.float32(1), np.float32(0.8), np.float32(1), confusion, None),
    ('crane', 'gull', 'crane'),
  )
  assert found['class_accuracy'] == {
    'crane (0)': 1.0,
    'gull': 0.75,
    'crane (2)': 0.8,
  }
