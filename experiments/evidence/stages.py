"""Why skips come back in S3: two explanations that may fail."""

import spaces
from claim import Prediction
from run_claim import main

_SHORT, _LONG = 'stages of 2 epochs', 'stages of 20 epochs'

CLAIM = spaces.CLAIM._replace(
  name='stages',
  question='Do skip connections stay out of S3 if its stages are long?',
  predictions=(
    Prediction(
      _SHORT,
      _LONG,
      'skip_normal',
      'short stages end with more skips in the normal cell than long ones',
      'skips',
    ),
    Prediction(
      _LONG,
      _SHORT,
      'test_accuracy',
      'what long stages found is better, once trained',
      'accuracy',
    ),
    spaces.harm(_SHORT, _LONG),
  ),
  settings=(
    'Of the claim above, the first three seeds of S3 were looked at before: '
    'OPP-DARTS ended with one, two and five skips in the normal cell, DARTS '
    'with three each time. Two explanations. First, time: S3 has three '
    'operations, so that with two epochs a stage, as published for eight, '
    'skips are in after four epochs of 60, and from about the fifteenth on '
    'they grow as in DARTS. Then stages of twenty epochs, which let them in at '
    'the fortieth, should end with fewer, and with better networks. Second, '
    'harm: at this size, a few skips of eight edges may cost a network '
    'nothing; then their number tells nothing of its accuracy, and avoiding '
    'them cannot help. All else is of the claim above.'
  ),
  configs=('s3',),
  variants={_SHORT: '', _LONG: '--config.schedule.stage_epochs=20'},
  hours=0.7,
  conclusion=(
    'With seven seeds (the last four on another kind of processor, both of a '
    'pair) long stages do not end with fewer skips: within the twenty epochs '
    'that are left to them they get to 3.7 of eight edges, short stages in '
    'sixty to 2.4, and what both find is as good, once trained. So time does '
    'not explain it. Nor is it that skips do no harm: of the fourteen networks '
    'those with more skips are worse (p 0.034), as was predicted against that '
    'explanation, though by little and not steadily: 0.476 with one skip, '
    '0.461 with two, 0.466 with four (means of three, three and five). With '
    'three seeds none of it was seen.'
  ),
)

if __name__ == '__main__':
  main(CLAIM)
