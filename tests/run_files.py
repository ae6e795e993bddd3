"""Files that runs leave, for the tests of what reads them."""

import json

OPERATIONS = ['none', 'max_pool_3x3', 'skip_connect', 'sep_conv_3x3']
DARTS = [
  ('sep_conv_3x3', 0),
  ('sep_conv_3x3', 1),
  ('sep_conv_3x3', 0),
  ('sep_conv_3x3', 1),
  ('sep_conv_3x3', 1),
  ('skip_connect', 0),
  ('skip_connect', 0),
  ('dil_conv_3x3', 2),
]
CHAIN = [('sep_conv_5x5', n // 2 + 1) for n in range(10)]
GENOTYPE = {
  'normal': DARTS,
  'normal_concat': [2, 3, 4, 5],
  'reduce': CHAIN[:8],
  'reduce_concat': [2, 3, 4, 5],
}


def write_lines(path, records):
  path.write_text(''.join(json.dumps(record) + '\n' for record in records))


def search_records(epochs=2, steps=10):
  for epoch in range(epochs):
    start = epoch * steps
    entered = OPERATIONS[3 - epoch]
    losses = {name: 2.0 + len(name) for name in OPERATIONS[: 4 - epoch]}
    yield {
      'kind': 'stage',
      'stage': epoch,
      'epoch': epoch,
      'step': start,
      'losses': losses if epoch else None,
      'entered': [entered],
      'active': OPERATIONS[3 - epoch :],
    }
    for step in (start, start + 5):
      yield {
        'kind': 'train',
        'epoch': epoch,
        'step': step,
        'train_loss': 2.0,
        'train_accuracy': 0.3,
        'val_loss': 2.1,
        'val_accuracy': 0.2,
        'learning_rate': 0.025,
      }
    yield {
      'kind': 'epoch',
      'epoch': epoch,
      'step': start + steps,
      'train_loss': 1.9,
      'train_accuracy': 0.4,
      'eval_loss': 2.0,
      'eval_accuracy': 0.35,
      'skip_normal': 2,
      'skip_reduce': 0,
      'genotype': GENOTYPE,
    }


def write_search(folder):
  config = {'space': 'darts', 'seed': 3, 'epochs': 2, 'data': {'source': 'a<b'}}
  (folder / 'config.json').write_text(json.dumps(config))
  (folder / 'genotype.json').write_text(json.dumps(GENOTYPE))
  write_lines(folder / 'metrics.jsonl', search_records())
  alphas = [
    {
      'epoch': epoch,
      'step': 10 * (epoch + 1),
      'operations': OPERATIONS,
      'normal': [[None, None, None if epoch == 0 else 0.1, 0.2]] * 14,
      'reduce': [[None, None, None, 0.0]] * 14,
    }
    for epoch in range(2)
  ]
  write_lines(folder / 'alphas.jsonl', alphas)
  times = [{'epoch': n, 'steps': 10, 'seconds': 45.0} for n in range(2)]
  write_lines(folder / 'times.jsonl', times)


def write_training(folder):
  (folder / 'genotype.json').write_text(json.dumps(GENOTYPE))
  results = {
    'test_accuracy': 0.9724,
    'test_loss': 0.1,
    'num_weights': 3349342,
    'class_accuracy': {'cat': 0.75, 'dog': 1.0, 'emu': None},
    'confusion': [[3, 1, 0], [0, 17, 0], [0, 0, 0]],
  }
  (folder / 'results.json').write_text(json.dumps(results))
  write_lines(
    folder / 'metrics.jsonl',
    [
      {
        'kind': 'train',
        'epoch': 0,
        'step': 4,
        'train_loss': 2.0,
        'train_accuracy': 0.3,
        'learning_rate': 0.025,
      },
      {
        'kind': 'epoch',
        'epoch': 0,
        'step': 9,
        'train_loss': 1.5,
        'train_accuracy': 0.4,
        'test_loss': 1.4,
        'test_accuracy': 0.5,
      },
    ],
  )


def write_run(folder, method, number, accuracy, **fields):
  """A search that has finished, for pages that compare runs."""
  folder.mkdir(parents=True)
  write_search(folder)
  config = {
    'space': 'darts',
    'method': method,
    'seed': number,
    'epochs': 2,
    'data': {'source': 'digits'},
    'schedule': {'name': 'plain', 'stage_epochs': 2},
    **fields,
  }
  (folder / 'config.json').write_text(json.dumps(config))
  results = {'ended_by': 'all epochs', 'eval_accuracy': accuracy}
  (folder / 'results.json').write_text(json.dumps(results))
  records = list(search_records())
  for record in records:
    if record['kind'] == 'epoch':
      record['eval_accuracy'] = accuracy - 0.1 * (1 - record['epoch'])
  write_lines(folder / 'metrics.jsonl', records)
  return folder


def write_trained(folder, number, genotype, accuracy, **fields):
  """A training that has finished, likewise."""
  folder.mkdir(parents=True)
  write_training(folder)
  config = {
    'genotype': genotype,
    'seed': number,
    'data': {'source': 'digits'},
    **fields,
  }
  (folder / 'config.json').write_text(json.dumps(config))
  results = json.loads((folder / 'results.json').read_text())
  results['test_accuracy'] = accuracy
  (folder / 'results.json').write_text(json.dumps(results))
  return folder
