"""Targeted lexical injection: translations meet inside the encoder (Ngugi 2025).

    mean_i max(0, m + max over j of cos(x_i, y_j) - cos(x_i, y_i))

x and y are mean vectors of one text layer, special tokens left out. The hinge against
the hardest negative, from one language to the other only.
"""

import dataclasses
from collections.abc import Mapping

from hero_jax.losses.both_ways import counted, mean_of_pairs
from hero_jax.losses.triplet_max import TripletMax, hardest_hinge
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class Lexical:
    """Row i is a text, column i its translation."""

    margin: float = 0.4
    """Lead that a translation must have."""
    is_one_way: bool = True
    """Rows search among columns, as published; otherwise both ways, averaged."""

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
        """The loss and its terms: "context" along rows, "query" along columns."""
        if not self.is_one_way:
            both = TripletMax(self.margin)
            return both(scores, positives, allowed, step=step)
        scores, negative = counted(scores, positives, allowed)
        costs = hardest_hinge(scores, negative, self.margin)
        loss = mean_of_pairs(costs, positives)
        return loss, {"context": loss}
