"""InfoNCE: pick a query's video, and a video's query, by softmax (Oord et al. 2018)."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar

NOTHING = -1e9
"""A logit that never counts; finite, so that an empty softmax has a gradient."""


@dataclasses.dataclass(frozen=True)
class InfoNCE:
    """-log(e^s+ / (e^s+ + sum of e^s-)) along rows and along columns, averaged.

    Each positive is scored alone against the allowed negatives, so a video's other
    queries, and a query's other videos, are in nobody's denominator.
    """

    temperature: float = 0.07
    """Scores are divided by this; what a learned temperature starts from."""
    is_learned: bool = False
    """Read the logarithm of 1 / temperature from `vectors["log_scale"]` instead."""
    max_scale: float = 100.0
    """Largest 1 / temperature that can be learned."""

    def __call__(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        allowed: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
        key: Key[Array, ""] | None = None,
        vectors: Mapping[str, Array] | None = None,
    ) -> tuple[Scalar, Metrics]:
        """The loss and its terms: "context" which video, "query" which query."""
        scale = self.scale(vectors)
        negative = allowed & ~positives
        # Padding may hold anything; times a learned scale its gradient would be nan.
        counted = jnp.where(positives | negative, at_least_float32(scores), 0)
        logits = scale * counted
        context = contrast(logits, positives, negative)
        query = contrast(logits.T, positives.T, negative.T)
        terms = {"context": context, "query": query, "temperature": 1 / scale}
        return (context + query) / 2, terms

    def scale(self, vectors: Mapping[str, Array] | None) -> Scalar:
        """1 / temperature. At its cap it still has a gradient, and can come down."""
        if not self.is_learned:
            return jnp.asarray(1 / self.temperature)
        if vectors is None or "log_scale" not in vectors:
            raise ValueError(
                'InfoNCE: is_learned reads vectors["log_scale"], found '
                f"{sorted(vectors or {})}: let the head learn one"
            )
        log_scale = at_least_float32(vectors["log_scale"])
        excess = jnp.maximum(log_scale - math.log(self.max_scale), 0)
        return jnp.exp(log_scale - jax.lax.stop_gradient(excess))


def contrast(
    logits: Float[Array, "N1 N2"],
    positives: Bool[Array, "N1 N2"],
    negative: Bool[Array, "N1 N2"],
) -> Scalar:
    """Mean over rows, and in a row over its positives, of -log softmax of a positive.

    A row without negatives costs 0, and a row without positives is padding.
    """
    against = jnp.where(negative, logits, NOTHING)
    against = jax.nn.logsumexp(against, axis=1, keepdims=True)
    losses = jax.nn.softplus(against - jnp.where(positives, logits, 0))
    rows = masked_mean(losses, positives, axis=1)
    return masked_mean(rows, jnp.any(positives, axis=1))
