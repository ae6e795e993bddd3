"""Searches and trains with several configs and seeds: `opp-darts sweep`."""

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  main.launch('sweep')
