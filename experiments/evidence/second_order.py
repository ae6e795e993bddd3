"""What second order brings and costs, by the truth of NAS-Bench-201."""

import nasbench201
from claim import Prediction
from run_claim import main

_TRUE = 'truth_test_cifar10'

CLAIM = nasbench201.CLAIM._replace(
  name='second_order',
  question='Does second order find better cells than first order?',
  predictions=(
    Prediction(
      'second', 'first', _TRUE, 'exact second order finds better cells'
    ),
    Prediction(
      'second_fd', 'first', _TRUE, 'finite differences find better cells'
    ),
    Prediction(
      'second', 'second_fd', _TRUE, 'exact is better than finite differences'
    ),
    Prediction(
      'first',
      'second',
      'skip_cell',
      'first order ends with more skip connections than second',
    ),
  ),
  settings=(
    'DARTS with all operations at once, and the settings of the claim about '
    'NAS-Bench-201. Before, nothing was looked at.'
  ),
  variants={
    order: f'--config.schedule.name=plain --config.order={order} '
    '--config.weights.nesterov=False'
    for order in ('first', 'second', 'second_fd')
  },
  seeds=tuple(range(6)),
  curves=(_TRUE, 'skip_cell'),
  hours=1.5,
)

if __name__ == '__main__':
  main(CLAIM)
