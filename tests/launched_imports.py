"""What a process is prepared with that launchers are forked from.

No module that defines a launcher's flags, and nothing that starts a backend.
"""

import gc

import sklearn.datasets  # noqa: F401

from opp_darts_jax.launchers import launch, main  # noqa: F401
from opp_darts_jax.reporting import page, report  # noqa: F401
from opp_darts_jax.running.searches import search  # noqa: F401
from opp_darts_jax.running.sweeps import sweep  # noqa: F401
from opp_darts_jax.running.trainings import training  # noqa: F401

gc.set_threshold(100_000, 20, 20)  # As in conftest.py.
# Each run writes a page: to compile its templates takes half a second.
for name in page.environment().list_templates():
  page.environment().get_template(name)
