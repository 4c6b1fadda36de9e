"""What an objective learns besides the model: how sharp it is, and from where."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32
from hero_jax.types import Array, Scalar


def learned(vectors: Mapping[str, Array] | None, name: str, owner: str) -> Scalar:
    """A number that the head learns for the objective `owner`."""
    if vectors is None or name not in vectors:
        raise ValueError(
            f'{owner}: is_learned reads vectors["{name}"], found '
            f"{sorted(vectors or {})}: let the head learn one"
        )
    return at_least_float32(vectors[name])


def capped_exp(log_scale: Scalar, max_scale: float) -> Scalar:
    """e^log_scale, at most `max_scale`. At its cap it still has a gradient, and can
    come down."""
    excess = jnp.maximum(log_scale - math.log(max_scale), 0)
    return jnp.exp(log_scale - jax.lax.stop_gradient(excess))
