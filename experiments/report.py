"""Draws the report of a run: `opp-darts report`."""

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  main.launch('report')
