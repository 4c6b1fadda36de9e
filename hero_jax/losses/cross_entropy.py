"""Cross entropy, and accuracy, over the positions that count."""

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Scalar


def cross_entropies(
    logits: Float[Array, "N V"], labels: Int[Array, "N"], mask: Bool[Array, "N"]
) -> Float[Array, "N"]:
    """-log softmax of each label, in float32; 0 where `mask` is false.

    Masked rows may hold anything, infinities included: neither the value nor the
    gradient sees them.
    """
    logits = jnp.where(mask[:, None], at_least_float32(logits), 0)
    labels = jnp.where(mask, labels, 0)
    chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.where(mask, jax.nn.logsumexp(logits, axis=1) - chosen, 0)


def cross_entropy(
    logits: Float[Array, "N V"], labels: Int[Array, "N"], mask: Bool[Array, "N"]
) -> Scalar:
    """Mean cross entropy where `mask` is true; 0 where it is true nowhere (H-24)."""
    return masked_mean(cross_entropies(logits, labels, mask), mask)


def accuracy(
    logits: Float[Array, "N V"], labels: Int[Array, "N"], mask: Bool[Array, "N"]
) -> Scalar:
    """Share of the positions in `mask` whose highest logit is the label's."""
    hits = jnp.argmax(logits, axis=1) == labels
    return masked_mean(hits.astype(jnp.float32), mask)
