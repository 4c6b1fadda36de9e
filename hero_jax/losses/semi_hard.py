"""The hinge against one negative drawn from the hardest (XML, Lei et al. 2020).

    max(0, m + s_ij - s_ii) for one j, drawn from the k best-scored negatives

XML draws from all negatives until epoch 10, then from the top 20, from epoch 20 on from
the top 10, from epoch 30 on from the top 5.
"""

import dataclasses
from collections.abc import Mapping

from hero_jax.losses.ranking import VSM
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class SemiHard:
    """One negative video for each query, one negative query for each video.

    The schedule is two tuples of equal length: of the pools whose step has come, the
    last applies; before the first, all negatives are drawn alike.
    """

    margin: float = 0.1
    """Lead that a true pair must have."""
    pool_sizes: tuple[int, ...] = (20, 10, 5)
    """How many of the best-scored negatives are drawn from."""
    start_steps: tuple[int, ...] = (6800, 13600, 20400)
    """When each pool starts; 680 batches of 128 are one epoch of XML."""

    def __post_init__(self) -> None:
        if len(self.pool_sizes) != len(self.start_steps):
            raise ValueError(
                f"SemiHard: {len(self.pool_sizes)} pool_sizes for "
                f"{len(self.start_steps)} start_steps: give both the same number"
            )

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
        return self.drawn(scores, positives, allowed, step=step, key=key)

    @property
    def drawn(self) -> VSM:
        """HERO's ranking loss took this draw over from XML."""
        return VSM(
            margin=self.margin,
            context_weight=0.5,
            query_weight=0.5,
            hard_pool_size=self.pool_sizes,
            hard_weight=(1.0,) * len(self.pool_sizes),
            hard_start_step=self.start_steps,
            negatives="sampled",
        )
