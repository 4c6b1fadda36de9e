"""DCL: InfoNCE without the true pair in the denominator (Yeh et al. 2022).

    -s_ii/t + log sum over negatives j of e^(s_ij/t)

A pair costs d here and log(1 + e^d) under `InfoNCE`, whose gradient fades as soon as
few negatives come near. Unbounded below: watch the norms.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from hero_jax.losses.both_ways import both_ways, log_sum
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class Decoupled:
    """How far the negatives together are above the true pair, in logits."""

    temperature: float = 0.07
    """Scores are divided by this."""

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
        return both_ways(self.cost, scores, positives, allowed)

    def cost(
        self,
        scores: Float[Array, "N1 N2"],
        positives: Bool[Array, "N1 N2"],
        negative: Bool[Array, "N1 N2"],
    ) -> Float[Array, "N1 N2"]:
        """0 in a row without negatives, which has nothing to be above."""
        logits = scores / self.temperature
        has_negative = jnp.any(negative, axis=1, keepdims=True)
        return jnp.where(has_negative, log_sum(logits, negative) - logits, 0)
