"""Sum of hinges: every negative must stay a margin behind (VSE, Kiros et al. 2014).

    sum over negatives j of max(0, m + s_ij - s_ii)

Divided by the number of negatives this is `VSM` without a hard pool.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from hero_jax.losses.both_ways import counted, mean_of_pairs
from hero_jax.losses.ranking import own_video
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class TripletSum:
    """The hinge against each negative, summed over negatives and averaged over pairs.

    It grows with the batch: compare it at equal numbers of negatives.
    """

    margin: float = 0.2
    """Lead that a true pair must have (VSE 0.2; XML and HERO 0.1)."""

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
        """The loss and its terms: "context" against videos, "query" against queries."""
        scores, negative = counted(scores, positives, allowed)
        own, true = own_video(scores, positives)
        videos = self._summed(scores, negative, true)
        queries = self._summed(scores.T[own], negative.T[own], true)
        shape = positives.shape
        context = mean_of_pairs(jnp.broadcast_to(videos[:, None], shape), positives)
        query = mean_of_pairs(jnp.broadcast_to(queries, shape[::-1]), positives.T)
        return (context + query) / 2, {"context": context, "query": query}

    def _summed(
        self,
        rivals: Float[Array, "Q N"],
        mask: Bool[Array, "Q N"],
        true: Float[Array, "Q"],
    ) -> Float[Array, "Q"]:
        hinge = jnp.maximum(self.margin + rivals - true[:, None], 0)
        return jnp.sum(jnp.where(mask, hinge, 0), axis=1)
