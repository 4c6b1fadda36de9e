"""Masked frames as regression (MFFR, paper 3.3): the distance to the true feature."""

import dataclasses

import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Metrics, Scalar

MIN_NORM = 1e-8
"""Shorter vectors have cosine 0 with everything, and no gradient."""


@dataclasses.dataclass(frozen=True)
class FrameDistance:
    """Euclidean distance of each predicted frame to the true one, averaged (C.3)."""

    def __call__(
        self,
        predicted: Float[Array, "G M E"],
        targets: Float[Array, "G M E"],
        mask: Bool[Array, "G M"],
        negatives: Float[Array, "G N E"],
        negative_mask: Bool[Array, "G N"],
    ) -> tuple[Scalar, Metrics]:
        """The loss and its terms; negatives are for other objectives (`FrameNce`)."""
        terms = frame_terms(predicted, targets, mask)
        return terms["distance"], terms


def frame_terms(
    predicted: Float[Array, "*N E"],
    targets: Float[Array, "*N E"],
    mask: Bool[Array, "*N"],
) -> Metrics:
    """Mean distance and mean cosine of predicted and true frames (C.8)."""
    return {
        "distance": masked_mean(distances(predicted, targets, mask), mask),
        "cosine": masked_mean(cosines(predicted, targets, mask), mask),
    }


def distances(
    predicted: Float[Array, "*N E"],
    targets: Float[Array, "*N E"],
    mask: Bool[Array, "*N"],
) -> Float[Array, "*N"]:
    """Euclidean norm of the difference; 0 where `mask` is false.

    Where the two are equal the gradient is 0, not the infinity of a root at 0.
    """
    difference = at_least_float32(predicted) - at_least_float32(targets)
    return _norms(jnp.where(mask[..., None], difference, 0))


def cosines(
    predicted: Float[Array, "*N E"],
    targets: Float[Array, "*N E"],
    mask: Bool[Array, "*N"],
) -> Float[Array, "*N"]:
    """Cosine of the angle between the two; 0 where `mask` is false."""
    ours, true = (
        jnp.where(mask[..., None], at_least_float32(x), 0) for x in (predicted, targets)
    )
    scale = jnp.maximum(_norms(ours), MIN_NORM) * jnp.maximum(_norms(true), MIN_NORM)
    return jnp.einsum("...e,...e->...", ours, true) / scale


def _norms(x: Float[Array, "*N E"]) -> Float[Array, "*N"]:
    squares = jnp.sum(x * x, axis=-1)
    is_positive = squares > 0
    return jnp.where(is_positive, jnp.sqrt(jnp.where(is_positive, squares, 1)), 0)
