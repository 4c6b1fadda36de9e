"""Sum of hinges: every negative must stay a margin behind (VSE, Kiros et al. 2014).

    sum over negatives j of max(0, m + s_ij - s_ii)

Divided by the number of negatives this is `VSM` without a hard pool.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hero_jax.losses.both_ways import NOTHING, BothWays
from hero_jax.types import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class TripletSum(BothWays):
    """The hinge against each negative, summed over negatives and averaged over pairs.

    It grows with the batch: compare it at equal numbers of negatives.
    """

    margin: float = 0.2
    """Lead that a true pair must have (VSE 0.2; XML and HERO 0.1)."""

    def cost(
        self,
        scores: Float[Array, "N1 N2"],
        positives: Bool[Array, "N1 N2"],
        negative: Bool[Array, "N1 N2"],
    ) -> Float[Array, "N1 N2"]:
        return jax.vmap(self._of_row)(scores, negative)

    def _of_row(
        self, scores: Float[Array, "N"], negative: Bool[Array, "N"]
    ) -> Float[Array, "N"]:
        """Each entry's hinges against the row's negatives: of those above it less the
        margin, their sum and number. Sorted once, instead of every pair of entries."""
        worst = jnp.sort(jnp.where(negative, -scores, -NOTHING))
        sums = jnp.cumsum(jnp.where(worst < -NOTHING, -worst, 0))
        sums = jnp.concatenate([jnp.zeros_like(sums[:1]), sums])
        bar = self.margin - scores
        count = jnp.searchsorted(worst, bar)
        return sums[count] + count * bar
