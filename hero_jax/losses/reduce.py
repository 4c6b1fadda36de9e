"""The masked mean of every objective, and the precision objectives are computed in."""

import jax.numpy as jnp

from hero_jax.types import Array, Bool, Float


def at_least_float32(values: Float[Array, "*N"]) -> Float[Array, "*N"]:
    """Half-precision scores widened; float64 stays as it is."""
    return jnp.asarray(values, jnp.promote_types(values.dtype, jnp.float32))


def masked_mean(
    values: Float[Array, "*N"], mask: Bool[Array, "*N"], axis: int | None = None
) -> Float[Array, "..."]:
    """Mean of the values where `mask` is true; 0 where it is true nowhere (H-24)."""
    total = jnp.sum(jnp.where(mask, values, 0), axis=axis)
    return total / jnp.maximum(jnp.sum(mask, axis=axis), 1)
