"""DCL: InfoNCE without the true pair in the denominator (Yeh et al. 2022).

    -s_ii/t + log sum over negatives j of e^(s_ij/t)

A pair costs d here and log(1 + e^d) under `InfoNCE`, whose gradient fades as soon as
few negatives come near. Unbounded below: watch the norms.
"""

import dataclasses

import jax.numpy as jnp

from hero_jax.losses.both_ways import BothWays, log_sum
from hero_jax.types import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class Decoupled(BothWays):
    """How far the negatives together are above the true pair, in logits."""

    temperature: float = 0.07
    """Scores are divided by this."""

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
