"""DARTS-PT on CIFAR-10 as published (Wang et al., ICLR 2021), for a GPU.

  opp-darts search --config=darts_pt --workdir=runs/darts_pt/search
  opp-darts train --config=darts_pt:train --workdir=runs/darts_pt/train

Expect, from the paper, 2.61 % test error with 3.0 M weights; 2.87 % with
--config.method="darts_pt(holds_alphas=True)", alphas that are held. ':digits'
and ':digits_train' are a small search on handwritten digits, for a laptop.
"""

import ml_collections

from opp_darts_jax.launchers.method_configs import method_config


def get_config(part: str = 'search') -> ml_collections.ConfigDict:
  """The search, or the training of what it finds."""
  published = {'space': 'darts_without_none', 'epochs': 131}
  return method_config(
    'darts_pt',
    part,
    published,
    {'method': 'darts_pt(search_epochs=12, interval=1)', 'epochs': 30},
  )
