"""The hinge against the hardest negative alone (VSE++, Faghri et al. 2018).

    max over negatives j of max(0, m + s_ij - s_ii)

It is the limit for a small temperature t of t times `InfoNCE` whose true pairs are
scored m lower. With large batches it collapses early: warm up with `TripletSum`.
"""

import dataclasses

import jax.numpy as jnp

from hero_jax.losses.both_ways import BothWays, hardest
from hero_jax.types import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class TripletMax(BothWays):
    """One hinge for each true pair and way, averaged over pairs."""

    margin: float = 0.2
    """Lead that a true pair must have."""

    def cost(
        self,
        scores: Float[Array, "N1 N2"],
        positives: Bool[Array, "N1 N2"],
        negative: Bool[Array, "N1 N2"],
    ) -> Float[Array, "N1 N2"]:
        return hardest_hinge(scores, negative, self.margin)


def hardest_hinge(
    scores: Float[Array, "N1 N2"], negative: Bool[Array, "N1 N2"], margin: float
) -> Float[Array, "N1 N2"]:
    """How far each entry is from leading its row's negatives; 0 without any."""
    return jnp.maximum(margin + hardest(scores, negative) - scores, 0)
