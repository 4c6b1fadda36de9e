"""Frame-level contrast: frames of the moment fit the query, the others do not.

    mean over frames inside of softplus(-f)  +  mean over frames outside of softplus(f)

The Jensen-Shannon estimator of ReLoCLNet (Zhang et al. 2021), less its constants: the
local counterpart of VSM's span loss, without heads for start and end.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class FrameJSD:
    """Contrast of the frames of each query's own video, averaged over queries."""

    weight: float = 1.0
    """How much it counts beside the ranking."""
    temperature: float = 1.0
    """Frame scores are divided by this."""

    def __call__(
        self,
        frame_scores: Float[Array, "Q F"],
        frame_mask: Bool[Array, "Q F"],
        spans: Int[Array, "Q 2"],
        query_mask: Bool[Array, "Q"],
        is_used: Bool[Array, ""],
    ) -> tuple[Scalar, Metrics]:
        """The weighted loss and its unweighted terms "inside" and "outside".

        `spans` are first and last frame, both inside, -1 where unknown: such a query
        costs nothing, and neither does the empty side of one that fills its video.
        """
        frames, spans = jnp.arange(frame_mask.shape[1]), jnp.asarray(spans)
        is_known = query_mask & (spans[:, 0] >= 0) & (spans[:, 1] >= spans[:, 0])
        inside = (spans[:, :1] <= frames) & (frames <= spans[:, 1:])
        real = frame_mask & is_known[:, None]
        f = jnp.where(real, at_least_float32(frame_scores), 0) / self.temperature
        within = self._mean(jax.nn.softplus(-f), real & inside)
        without = self._mean(jax.nn.softplus(f), real & ~inside)
        total = jnp.where(is_used, self.weight * (within + without), 0)
        return total, {"inside": within, "outside": without}

    def _mean(self, costs: Float[Array, "Q F"], mask: Bool[Array, "Q F"]) -> Scalar:
        """Mean over frames, then over the queries that have any."""
        return masked_mean(masked_mean(costs, mask, axis=1), jnp.any(mask, axis=1))
