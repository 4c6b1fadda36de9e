"""Vectors to other places, by flat index within groups that never meet."""

from typing import Any

import jax
import jax.numpy as jnp

from hero_jax.types import Array, Float, Int

Size = Any
"""A number, or the letter it has in a program for all sizes (`jax.export`)."""


def gather(
    vectors: Float[Array, "N1 N2 D"], index: Int[Array, "*N"], *, num_groups: int
) -> Float[Array, "*N D"]:
    """The vector at each flat index, zeros where the index lies outside.

    The leading axes are `num_groups` equal blocks, and an index counts from the start
    of its own block (layout.py).
    """
    blocks = vectors.reshape(num_groups, -1, vectors.shape[-1])
    places = index.reshape(num_groups, -1)
    found = (
        jax.vmap(_take)(blocks, places)
        if num_groups > 1
        else _take(blocks[0], places[0])
    )
    return found.reshape(*index.shape, -1)


def sum_at(
    vectors: Float[Array, "R L D"],
    index: Int[Array, "R L"],
    shape: tuple[Size, Size],
    *,
    num_groups: int,
) -> Float[Array, "N1 N2 D"]:
    """Adds each vector to the place its flat index names; the transpose of `gather`."""
    width = vectors.shape[-1]
    blocks = vectors.reshape(num_groups, -1, width)
    size = shape[0] * shape[1] // num_groups
    places = _or_nowhere(index.reshape(num_groups, -1), size)
    add = lambda block, place: (
        jnp.zeros((size, width), vectors.dtype).at[place].add(block, mode="drop")
    )
    if num_groups == 1:  # a scatter in each block has no counterpart in ONNX
        return add(blocks[0], places[0]).reshape(*shape, width)
    return jax.vmap(add)(blocks, places).reshape(*shape, width)


def _take(block: Float[Array, "N D"], place: Int[Array, " M"]) -> Float[Array, "M D"]:
    """The gather that fills would do the same, but ONNX has none."""
    is_there = (place >= 0) & (place < block.shape[0])
    known = jnp.where(is_there, place, 0)
    taken = jnp.asarray(block).at[known].get(mode="promise_in_bounds")
    return jnp.where(is_there[:, None], taken, jnp.zeros((), taken.dtype))


def _or_nowhere(index: Int[Array, "G N"], size: Size) -> Int[Array, "G N"]:
    """Negative indices would count from the end: they are put beyond it instead."""
    return jnp.where(index < 0, size, index)
