"""DrNAS (Chen et al., "DrNAS: Dirichlet Neural Architecture Search", ICLR
2021).

Operation weights are a sample of a Dirichlet distribution on every edge, whose
concentration is ELU(alpha) + 1; its gradient is that of the implicit
reparameterisation. Every pass draws anew, an evaluation too. Alphas are pulled
to 0, the uniform distribution, by Adam's weight decay, as in the authors' code,
or by the divergence KL(Dir(c) || Dir(1)), `kl`. Operations may see a part of
the channels, and only the strongest stay from the middle of the search on.

What deviates: the part of the channels is the same in both stages, where the
authors widen the supernet between them. Rates and optimisers go on, as theirs.
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln

from opp_darts_jax.config import SearchConfig
from opp_darts_jax.errors import UserError
from opp_darts_jax.memoized import memoized
from opp_darts_jax.methods.growth import all_enter, check_entered
from opp_darts_jax.methods.method import Draw, Method, Progress, no_term
from opp_darts_jax.methods.pc_darts import check_partial, partial_channels
from opp_darts_jax.methods.samples import key_of_each
from opp_darts_jax.methods.stages import Change
from opp_darts_jax.methods.state import SearchState
from opp_darts_jax.methods.tables import (
  Tables,
  init_alphas,
  masked_softmax,
  softmax_weights,
  strongest,
)
from opp_darts_jax.operations import target
from opp_darts_jax.spaces.space import Space

_LEAST = 1e-6


@memoized(8)
def drnas(
  partial: int = 1, warmup_epochs: int = 0, keep: int = 0, kl: float = 0.0
) -> Method:
  """Samples of a Dirichlet distribution as operation weights.

  Args:
    partial: K: operations see a Kth of the channels.
    warmup_epochs: in which alphas rest, at the start of each stage.
    keep: operations that stay on an edge from the middle of the search on,
      which is then the second stage; 0 keeps all, in one stage.
    kl: factor of the divergence from the uniform distribution in the loss; the
      authors then let alphas not decay (`alphas.weight_decay=0`), as both pull
      towards it.

  Raises:
    UserError: unless partial is at least 1 and the others at least 0.
  """
  if partial < 1 or min(warmup_epochs, keep, kl) < 0:
    raise UserError(
      'drnas takes partial of at least 1 and the others of at least 0; got '
      f'partial={partial!r}, warmup_epochs={warmup_epochs!r}, keep={keep!r} '
      f'and kl={kl!r}.'
    )

  def stage_epochs(epochs: int) -> int:
    return -(-epochs // 2) if keep else epochs

  def check(config: SearchConfig, space: Space) -> None:
    check_partial(config, partial, 'drnas')
    # The second stage is the shorter one.
    if warmup_epochs >= (config.epochs // 2 if keep else config.epochs):
      raise UserError(
        f'epochs must give each stage of drnas more than {warmup_epochs}, in '
        f'which alphas rest (warmup_epochs); got {config.epochs}.'
      )
    if keep:
      middle = stage_epochs(config.epochs)
      check_entered(config, space, middle, 'drnas keeps the strongest')

  def weights(space: Space, alphas: Tables, mask: Tables, draw: Draw) -> Tables:
    keys = key_of_each(draw.key, space)
    return {
      kind: sample(keys[kind], concentration(alphas[kind]), mask[kind])
      for kind in space.kinds
    }

  def term(
    space: Space, alphas: Tables, mask: Tables, draw: Draw
  ) -> jax.Array | float:
    del draw
    return kl * sum(
      divergence(concentration(alphas[kind]), mask[kind]).sum()
      for kind in space.kinds
    )

  def begun(progress: Progress) -> jax.Array:
    return progress.epoch % stage_epochs(progress.epochs) >= warmup_epochs

  def begin_epoch(search, state, epoch, stages):
    change = all_enter(search, state, epoch, stages)
    if not keep or epoch != stage_epochs(search.config.epochs):
      return change
    return Change(pruned(change.state, keep))

  return Method(
    f'drnas(partial={partial}, warmup_epochs={warmup_epochs}, keep={keep}, '
    f'kl={kl})',
    init_alphas,
    weights,
    softmax_weights,
    partial=partial_channels(partial) if partial > 1 else None,
    trains_alphas=begun if warmup_epochs else None,
    val_term=term if kl else no_term,
    check=check,
    begin_epoch=begin_epoch,
  )


def concentration(alphas: jax.Array) -> jax.Array:
  """ELU(alpha) + 1: 1 at 0, positive everywhere."""
  return jnp.maximum(jax.nn.elu(alphas) + 1, _LEAST)


def sample(key: jax.Array, c_EK: jax.Array, mask_EK: jax.Array) -> jax.Array:
  """A draw of each row's Dirichlet distribution over what is active.

  By logarithms of gamma variables: those of small concentrations underflow.
  """
  return masked_softmax(log_gamma(key, c_EK), mask_EK)


@jax.custom_jvp
def log_gamma(key: jax.Array, c_EK: jax.Array) -> jax.Array:
  """`jax.random.loggamma`, whose gradient is of the platform traced for.

  JAX's own gradient is of the host's: compiled for an absent GPU or TPU, it
  would go through the entries one by one.
  """
  return jax.random.loggamma(key, c_EK)


@log_gamma.defjvp
def _log_gamma_jvp(
  primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
  key, c_EK = primals
  log_EK = log_gamma(key, c_EK)
  # An underflowed variable is as good as the least that there is.
  x_EK = jnp.maximum(jnp.exp(log_EK), jnp.finfo(log_EK.dtype).tiny)
  c, x = c_EK.ravel(), x_EK.ravel()
  # By implicit reparameterisation. All at once turn until the slowest is done.
  if target.current().platform == 'cpu':
    slopes = jax.lax.map(lambda each: _log_slope(*each), (c, x))
  else:
    slopes = _log_slope(c, x)
  return log_EK, tangents[1] * slopes.reshape(c_EK.shape)


def _log_slope(c: jax.Array, x: jax.Array) -> jax.Array:
  """The derivative of log x by c, for gamma variables x."""
  return jax.lax.random_gamma_grad(c, x) / x


def divergence(c_EK: jax.Array, mask_EK: jax.Array) -> jax.Array:
  """KL(Dir(c) || Dir(1)) of each row, over what is active; (E,)."""
  active_EK = mask_EK.astype(c_EK.dtype)
  count_E = jnp.maximum(active_EK.sum(-1), 1)
  c_EK = jnp.where(mask_EK, c_EK, 1.0)
  total_E = jnp.where(mask_EK.any(-1), (c_EK * active_EK).sum(-1), 1.0)
  each_EK = (c_EK - 1) * (digamma(c_EK) - digamma(total_E)[:, None])
  each_EK -= gammaln(c_EK)
  return gammaln(total_E) - gammaln(count_E) + (each_EK * active_EK).sum(-1)


def pruned(state: SearchState, keep: int) -> SearchState:
  """The state with the `keep` largest alphas of every edge alone.

  Those of what goes are 0, as in the authors' code.
  """
  masks = strongest(state.alphas, state.mask, keep)
  alphas = {
    kind: jnp.where(masks[kind], table, 0.0)
    for kind, table in state.alphas.items()
  }
  return state.replace(mask=masks, alphas=alphas)
