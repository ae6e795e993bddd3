"""Trains and tests the network of a cell: `opp-darts train`."""

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  main.launch('train')
