"""mXML's neighbourhood constraint: translations stay nearest (Lei et al. 2021).

    max(0, m + cos(zh_i, en_j) - cos(zh_i, en_i)) + the same along columns

with one negative j drawn for each row and one for each column. It is `SemiHard` on the
scores of parallel texts, summed over the two ways instead of averaged.
"""

import dataclasses
from collections.abc import Mapping

from hero_jax.losses.semi_hard import SemiHard
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class Neighbourhood:
    """Hinge between the languages: row i is a text, column i its translation."""

    margin: float = 0.1
    """Lead that a translation must have."""
    weight: float = 1.0
    """How much the constraint counts (lambda)."""
    pool_sizes: tuple[int, ...] = (20, 10, 5)
    """As in `SemiHard`: mXML narrows both draws at the same epochs."""
    start_steps: tuple[int, ...] = (6800, 13600, 20400)
    """When each pool starts."""

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
        """The weighted sum of the two ways, and each alone: "context", "query"."""
        drawn = SemiHard(self.margin, self.pool_sizes, self.start_steps)
        total, terms = drawn(scores, positives, allowed, step=step, key=key)
        return 2 * self.weight * total, terms
