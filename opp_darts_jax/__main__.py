"""`python -m opp_darts_jax`: the console command opp-darts."""

from opp_darts_jax.launchers.main import main

if __name__ == '__main__':
  main()
