"""How far predictions are from labels that keep some probability for other words."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Scalar


@dataclasses.dataclass(frozen=True)
class LabelSmoothing:
    """Mean divergence from smoothed labels over the words of captions (D.7)."""

    smoothing: float = 0.1
    """Probability that a label gives away, in equal parts, to all other words. With 0
    this is cross entropy."""

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise ValueError(
                f"LabelSmoothing: smoothing: found {self.smoothing}, expected at "
                "least 0 and less than 1"
            )

    def __call__(
        self,
        logits: Float[Array, "N V"],
        labels: Int[Array, "N"],
        mask: Bool[Array, "N"],
    ) -> Scalar:
        """Mean where `mask` is true; 0 where it is true nowhere (H-24)."""
        return masked_mean(self.each(logits, labels, mask), mask)

    def each(
        self,
        logits: Float[Array, "N V"],
        labels: Int[Array, "N"],
        mask: Bool[Array, "N"],
    ) -> Float[Array, "N"]:
        """KL(q || softmax) of each label, in float32; 0 where `mask` is false.

        q is 1 - s on the label and s / (V - 1) on every other word. Its entropy is a
        constant that officially counts. The logits of masked rows may be anything.
        """
        logits = jnp.where(mask[:, None], at_least_float32(logits), 0)
        labels = jnp.where(mask, labels, 0)
        log_p = jax.nn.log_softmax(logits)
        own = jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
        num_others = logits.shape[1] - 1
        true = 1 - self.smoothing
        # Officially kept as float32, which shows in float64.
        other = float(np.float32(self.smoothing / num_others))
        certainty = xlogy(true, true) + num_others * xlogy(other, other)
        cross = true * own + other * (jnp.sum(log_p, axis=1) - own)
        return jnp.where(mask, certainty - cross, 0)
