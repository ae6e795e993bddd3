"""Searches a cell on images: `opp-darts search`."""

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  main.launch('search')
