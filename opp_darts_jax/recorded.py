"""What a run records: names of its files, and of numbers that several read."""

CONFIG = 'config.json'
# What it is made of, beside its config.
INPUTS = 'inputs.json'
# Of a search: what files and pages need of its space.
SPACE = 'space.json'
# Its numbers, the same whenever the run is, and its times.
METRICS = 'metrics.jsonl'
TIMES = 'times.jsonl'
ALPHAS = 'alphas.jsonl'
# That a search found, or a training is of.
GENOTYPE = 'genotype.json'
# What a training leaves.
NETWORK = 'network.npz'
# What a run came to, once it has finished.
RESULTS = 'results.json'

# What a space knows of a cell: numbers of these names, see `Space.truth`.
TRUTH = 'truth_'
TRUTH_TEST = f'{TRUTH}test_'


def is_number(value: object) -> bool:
  """Whether a value of JSON is a number; true and false are none."""
  return isinstance(value, int | float) and not isinstance(value, bool)


def is_scalar(value: object) -> bool:
  """Whether a value is a number, or an array of one, as files take it."""
  return is_number(value) or getattr(value, 'shape', None) == ()
