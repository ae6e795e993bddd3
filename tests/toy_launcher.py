"""The console command, whose searches are of small networks: tests start it."""

import toy_supernet

from opp_darts_jax.launchers import main

if __name__ == '__main__':
  with toy_supernet.in_place_of_supernets():
    main.main()
