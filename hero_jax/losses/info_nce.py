"""InfoNCE: pick a query's video, and a video's query, by softmax (Oord et al. 2018)."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hero_jax.losses.both_ways import both_ways, log_sum
from hero_jax.losses.temperature import capped_exp, learned
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


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
        cost = lambda scores, _, negative: contrast(scale * scores, negative)
        total, terms = both_ways(cost, scores, positives, allowed)
        return total, terms | {"temperature": 1 / scale}

    def scale(self, vectors: Mapping[str, Array] | None) -> Scalar:
        """1 / temperature."""
        if not self.is_learned:
            return jnp.asarray(1 / self.temperature)
        return capped_exp(learned(vectors, "log_scale", "InfoNCE"), self.max_scale)


def contrast(
    logits: Float[Array, "N1 N2"], negative: Bool[Array, "N1 N2"]
) -> Float[Array, "N1 N2"]:
    """-log softmax of each entry beside its row's negatives; 0 where there are none."""
    return jax.nn.softplus(log_sum(logits, negative) - logits)
