"""Times the operations of a space: `opp-darts latency`."""

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  main.launch('latency')
