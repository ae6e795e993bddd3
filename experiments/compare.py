"""Compares search methods over seeds: `opp-darts compare`."""

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  main.launch('compare')
