"""Whether a statement is true: binary cross entropy of one logit (D.6)."""

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Float, Int, Scalar


def verdict_loss(logits: Float[Array, "N"], labels: Int[Array, "N"]) -> Scalar:
    """Mean of -log of the probability given to each label: 1 true, 0 false, -1 unknown.

    Computed from the logit. The official code takes the logarithm of a rounded sigmoid,
    limited to -100: in float32 a sure mistake there no longer teaches anything.
    """
    labels = jnp.asarray(labels)
    logits = at_least_float32(logits)
    is_known = labels >= 0
    margin = jnp.where(is_known, jnp.where(labels == 1, logits, -logits), 0)
    return masked_mean(jax.nn.softplus(-margin), is_known)
