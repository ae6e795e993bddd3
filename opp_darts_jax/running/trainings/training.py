"""run_training: the file that wires training and testing a network."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax

from opp_darts_jax import files
from opp_darts_jax.config import TrainConfig
from opp_darts_jax.data.dataset import ImageData
from opp_darts_jax.errors import check_finite
from opp_darts_jax.genotypes.genotype import Genotype
from opp_darts_jax.methods.rates import training_rate
from opp_darts_jax.networks import summary, trained
from opp_darts_jax.recorded import GENOTYPE, NETWORK, RESULTS
from opp_darts_jax.running import evaluation
from opp_darts_jax.running.devices import devices_for
from opp_darts_jax.running.runs.plan import say_finished
from opp_darts_jax.running.runs.profiler import Steps
from opp_darts_jax.running.runs.run import Options, Run, open_run
from opp_darts_jax.running.runs.standing import View
from opp_darts_jax.running.runs.watchers import tell, watchers_of
from opp_darts_jax.running.trainings import plan, records, seeds, task
from opp_darts_jax.running.trainings.feeds import InMemory, Step, Streaming
from opp_darts_jax.running.trainings.programs import TrainMetrics, TrainState
from opp_darts_jax.running.trainings.records import OnEpoch, TrainRecord
from opp_darts_jax.running.trainings.task import TrainTask
from opp_darts_jax.running.workdirs import inputs, results
from opp_darts_jax.running.workdirs.workdir import check_workdir
from opp_darts_jax.spaces.catalogue import get_space
from opp_darts_jax.spaces.space import Space


def run_training(
  config: TrainConfig,
  workdir: str | pathlib.Path,
  *,
  data: ImageData | None = None,
  genotype: Genotype | None = None,
  space: Space | None = None,
  on_epoch: OnEpoch | Iterable[OnEpoch] = (),
  signals: bool = True,
  quiet: bool = False,
  profile_steps: Steps | None = None,
  view_of: Callable[[pathlib.Path], View] | None = None,
) -> dict[str, Any]:
  """Trains and tests the network, writing everything into `workdir`.

  The files: `config.json`, `inputs.json`, `genotype.json`, `metrics.jsonl`,
  `network.npz` (see trained.py), `mistakes.npz` (the images of the worst of
  the test), `results.json`, TensorBoard events, and
  checkpoints, from which the same call goes on after an interruption. Once it
  has finished, the same call writes nothing. With several seeds each has a
  folder of its own in it, and `results.json` sums them up.

  The network is that of the last epoch: no test image has a say in it. With
  `config.data.held_out`, training images are tested on instead.

  Args:
    config: what to do.
    workdir: a folder; made if it is missing.
    data: the images; None reads those that the config names.
    genotype: None takes the one that the config names.
    space: of the genotype; None takes the one that the config names.
    on_epoch: called with a `TrainRecord` after each epoch.
    signals: whether SIGTERM and SIGINT save the run before they end it.
    quiet: whether nothing is printed.
    profile_steps: the first and the last step, counted from 1, of which a trace
      is made, in `profile/`, by each seed; None makes none.
    view_of: a folder -> what a terminal shows of the training in it, beside a
      bar; each seed has a folder of its own.

  Returns:
    The contents of `results.json`: `test_accuracy` (a fraction), `test_loss`,
    `num_weights` and more.

  Raises:
    UserError: if the config does not fit the images or the genotype, or the
      workdir holds a run of another config or of other inputs.
  """
  if genotype is not None:
    config = dataclasses.replace(config, genotype=genotype.to_json())
  if space is not None:
    config = dataclasses.replace(config, space=space.name)
  run_one = functools.partial(
    _run_one,
    data=data,
    space=space,
    watchers=watchers_of(on_epoch),
    options=Options(signals, quiet, profile_steps),
    view_of=view_of,
  )
  if config.seeds:
    return seeds.run_seeds(run_one, config, workdir)
  return run_one(config, workdir)


def _run_one(
  config: TrainConfig,
  workdir: str | pathlib.Path,
  data: ImageData | None,
  space: Space | None,
  watchers: Sequence[OnEpoch],
  options: Options,
  view_of: Callable[[pathlib.Path], View] | None,
) -> dict[str, Any]:
  """Trains with one seed; see `run_training`."""
  space = space or get_space(config.space)
  genotype = task.named_genotype(config, space)
  devices = devices_for(config)
  check_workdir(workdir, config)
  images = task.load_images(config) if data is None else data
  made_of = inputs.of_training(images, genotype)
  check_workdir(workdir, config, made_of)
  found = results.finished(workdir, NETWORK)
  if found:
    say_finished(workdir, found, options.quiet)
    return found
  training = task.prepare(config, images, genotype, space, devices)
  first = training.begin()
  if view_of:
    options = options._replace(view=view_of(pathlib.Path(workdir)))
  with open_run(
    workdir,
    config,
    training.per_epoch,
    lambda known: first,
    devices.copy(TrainMetrics.zeros()),
    options,
    made_of,
  ) as run:
    files.write_json(run.folder / GENOTYPE, genotype.to_dict())
    run.screen.say(plan.of_training(training, workdir, run.step))
    with contextlib.closing(_feed_of(training, run.step)) as feed:
      state, found = _run_epochs(training, run, feed, watchers)
    return _finish(training, run, state, found)


def _finish(
  training: TrainTask, run: Run, state: TrainState, found: Mapping[str, Any]
) -> dict[str, Any]:
  """Writes the network, and what the test gave; returns the results."""
  images, model = training.images, training.model
  trained.save_network(
    run.folder / NETWORK,
    model,
    state.variables,
    images,
    training.config.space,
  )
  if isinstance(images, ImageData):
    records.save_mistakes(
      run.folder / 'mistakes.npz', found, images.test.images
    )
  counted = summary.of_network(model, images.image_shape)
  found = {**found, 'network': counted}
  files.write_json(run.folder / RESULTS, found)
  return found


def _feed_of(training: TrainTask, start: int) -> InMemory | Streaming:
  """How its images reach the steps, from the step `start` on."""
  config, images = training.config, training.images
  programs, devices = training.programs, training.devices
  if isinstance(images, ImageData):
    return InMemory(images, programs, devices)
  test_size = evaluation.batch_size(config, devices, images.num_test)
  return Streaming(
    images, programs, devices, config.batch_size, test_size, start
  )


def _run_epochs(
  training: TrainTask,
  run: Run,
  feed: InMemory | Streaming,
  watchers: Sequence[OnEpoch],
) -> tuple[TrainState, dict[str, Any]]:
  """All epochs that are left; returns the state, and what the test gave."""
  config, images = training.config, training.images
  state = run.state
  found = run.known.get('results', {})
  for epoch in range(run.epoch, config.epochs):
    rate = training_rate(config, epoch)
    drop_path = config.drop_path * epoch / config.epochs
    step = Step(jax.random.fold_in(training.key, 1), rate, drop_path)

    def dispatch(state, sums, count, step=step):
      return feed.train(state, sums, count, step)

    known = {'results': found}
    state, means = run.steps(dispatch, state, epoch, rate, known)
    tested = {}
    if config.evaluates(epoch):
      tested = records.describe(feed.test(state), images.class_names)
    records.record_epoch(epoch, int(state.step), means, tested, run)
    record = TrainRecord(epoch, config.epochs, means | tested, run.folder)
    for watcher in watchers:
      tell(watcher, record)
    if tested:
      check_finite('test loss', tested['test_loss'])
      found = {
        **tested,
        **means,
        'weights_of': 'the last epoch',
        'tested_on': images.tested_on,
        'epochs': epoch + 1,
        'num_weights': training.num_weights,
        'genotype': training.model.genotype.to_dict(),
      }
    run.end_epoch(state, epoch, {'results': found})
  return state, found
