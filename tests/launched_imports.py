"""What a process is prepared with that launchers are forked from.

No module that defines a launcher's flags, and nothing that starts a backend.
"""

import gc

import sklearn.datasets  # noqa: F401

from opp_darts_jax.launchers import launch, main  # noqa: F401
from opp_darts_jax.reporting import report  # noqa: F401
from opp_darts_jax.running import search, sweep, training  # noqa: F401

gc.set_threshold(100_000, 20, 20)  # As in conftest.py.
