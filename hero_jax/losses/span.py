"""Local alignment: which frames of its own video a query is about (paper 3.2, VSM)."""

import dataclasses

import jax.numpy as jnp

from hero_jax.losses.cross_entropy import cross_entropies
from hero_jax.losses.reduce import masked_mean
from hero_jax.types import Array, Bool, Float, Int, Metrics, Scalar


def boundary_losses(
    logits: Float[Array, "Q F"],
    frames: Int[Array, "Q"],
    query_mask: Bool[Array, "Q"],
) -> tuple[Float[Array, "Q"], Bool[Array, "Q"]]:
    """Cross entropy of each query's boundary frame, and which queries have one.

    A query without a known boundary has frame -1 (or one beyond the logits) and loss 0.
    The official evaluation
    sums these instead of averaging them.
    """
    is_known = query_mask & (frames >= 0) & (frames < logits.shape[1])
    return cross_entropies(logits, frames, is_known), is_known


@dataclasses.dataclass(frozen=True)
class SpanLoss:
    """Start plus end cross entropy over frames, each a mean over known boundaries."""

    weight: float = 0.01
    """How much the span counts beside the ranking (official lw_st_ed)."""

    def __call__(
        self,
        start_logits: Float[Array, "Q F"],
        end_logits: Float[Array, "Q F"],
        spans: Int[Array, "Q 2"],
        query_mask: Bool[Array, "Q"],
        is_used: Bool[Array, ""],
    ) -> tuple[Scalar, Metrics]:
        """The weighted loss and its unweighted terms; 0 where nothing is known (H-24).

        `is_used` is drawn with the data: the official code keeps this loss in a fifth
        of the batches only (drop_svmr_prob). Logits of frames that do not exist are
        expected to be very negative already.
        """
        start = masked_mean(*boundary_losses(start_logits, spans[:, 0], query_mask))
        end = masked_mean(*boundary_losses(end_logits, spans[:, 1], query_mask))
        total = jnp.where(is_used, self.weight * (start + end), 0)
        return total, {"start": start, "end": end}
