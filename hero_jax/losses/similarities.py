"""How scores stand during training: what is watched to see why an objective fails."""

import jax.numpy as jnp

from hero_jax.losses.both_ways import counted, hardest
from hero_jax.losses.reduce import masked_mean
from hero_jax.types import Array, Bool, Float, Metrics


def similarities(
    scores: Float[Array, "Q B"],
    positives: Bool[Array, "Q B"],
    allowed: Bool[Array, "Q B"],
    *,
    margin: float = 0.1,
) -> Metrics:
    """Mean score of true pairs, of negatives and of each query's hardest negative.

    "active" is the share of (true pair, negative video) whose hinge of `margin` is not
    yet 0: about 1 is where training begins, 0 where a hinge teaches nothing more.
    """
    scores, negative = counted(scores, positives, allowed)
    is_asked = jnp.any(positives, axis=1) & jnp.any(negative, axis=1)
    true = jnp.max(jnp.where(positives, scores, -jnp.inf), axis=1, keepdims=True)
    is_active = margin + scores > jnp.where(is_asked[:, None], true, 0)
    of_asked = negative & is_asked[:, None]
    return {
        "positive": masked_mean(scores, positives),
        "negative": masked_mean(scores, of_asked),
        "hardest": masked_mean(hardest(scores, negative)[:, 0], is_asked),
        "active": masked_mean(is_active.astype(scores.dtype), of_asked),
    }
