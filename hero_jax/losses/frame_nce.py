"""Masked frames as a choice (MFM-NCE, paper 3.3): the true feature among many vectors.

       true features        predictions of          row m: predicted masked
       of masked frames     unmasked frames         frame m; right is column m
       t0   t1   t2         n0   n1   n2   n3       (negatives are predictions
p0     +    -    -          -    -    -    -         and not features: H-9)
p1     -    +    -          -    -    -    -
"""

import dataclasses

import jax.numpy as jnp

from hero_jax.losses.cross_entropy import accuracy, cross_entropy
from hero_jax.losses.reduce import at_least_float32
from hero_jax.losses.regression import frame_terms
from hero_jax.types import Array, Bool, Float, Metrics, Scalar

NOTHING = -1e9
"""A logit that never counts; finite, so that it has a gradient."""


@dataclasses.dataclass(frozen=True)
class FrameNce:
    """Cross entropy of each masked frame over its group's frames (C.3).

    Frames of other groups are no negatives, as those on other GPUs officially are none.
    """

    temperature: float = 1.0
    """Inner products are divided by this."""

    def __call__(
        self,
        predicted: Float[Array, "G M E"],
        targets: Float[Array, "G M E"],
        mask: Bool[Array, "G M"],
        negatives: Float[Array, "G N E"],
        negative_mask: Bool[Array, "G N"],
    ) -> tuple[Scalar, Metrics]:
        """The mean over masked frames, and the terms that are watched (C.8)."""
        logits = self.logits(predicted, targets, mask, negatives, negative_mask)
        logits = logits.reshape(-1, logits.shape[-1])
        groups, size = mask.shape
        labels = jnp.tile(jnp.arange(size), groups)
        terms = frame_terms(predicted, targets, mask) | {
            "accuracy": accuracy(logits, labels, mask.ravel()),
            "negatives": jnp.mean(jnp.sum(negative_mask, axis=1, dtype=logits.dtype)),
        }
        return cross_entropy(logits, labels, mask.ravel()), terms

    def logits(
        self,
        predicted: Float[Array, "G M E"],
        targets: Float[Array, "G M E"],
        mask: Bool[Array, "G M"],
        negatives: Float[Array, "G N E"],
        negative_mask: Bool[Array, "G N"],
    ) -> Float[Array, "G M M+N"]:
        """Inner products with the true features, then with the negatives."""
        keep = lambda x, mask: jnp.where(mask[..., None], at_least_float32(x), 0)
        rows, true = keep(predicted, mask), keep(targets, mask)
        columns = jnp.concatenate([true, keep(negatives, negative_mask)], axis=1)
        logits = jnp.einsum("gme,gne->gmn", rows, columns) / self.temperature
        is_counted = jnp.concatenate([mask, negative_mask], axis=1)
        return jnp.where(is_counted[:, None, :], logits, NOTHING)
