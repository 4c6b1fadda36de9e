"""Whether arrays are bit for bit those that were saved.

Orbax keeps no checksum of array bytes. Two sums with odd weights are taken of every
leaf on its devices: any single flipped bit changes both, the value does not depend on
the sharding, and several hosts need one tiny reduction.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.paths import named_leaves
from hero_jax.types import Array, Int, PyTree

Leaves = Mapping[str, Mapping[str, Any]]
"""Leaf name -> dtype, shape and digest, in JSON's types."""

SELF = "sha256"
"""The key under which a record keeps the hash of its other entries."""

GOLDEN = 0x9E3779B1
"""2^32 over the golden ratio: neighbouring places get very different weights."""


def describe(tree: PyTree) -> dict[str, dict[str, Any]]:
    """The leaves of a tree with their digests."""
    return {
        name: {
            "dtype": str(leaf.dtype),
            "shape": list(leaf.shape),
            # Taken to the host one by one: many programs under way at once, each with
            # a sum over all devices, can starve one another of threads on a CPU.
            "digest": "".join(f"{int(word):08x}" for word in np.asarray(digest(leaf))),
        }
        for name, leaf in named_leaves(tree).items()
    }


@jax.jit
def digest(array: Array) -> Int[Array, "2"]:
    """Two position-weighted sums of the array's bits, modulo 2^32."""
    words = _words(array)
    place = _flat_index(words.shape)
    weights = 2 * place + 1, place * jnp.uint32(GOLDEN) | 1
    return jnp.stack([(words * weight).sum(dtype=jnp.uint32) for weight in weights])


@jax.jit
def is_finite(tree: PyTree) -> Array:
    """Whether no floating-point leaf holds NaN or infinity."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack([jnp.isfinite(x).all() for x in leaves]).all()


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """`record` with the hash of its entries."""
    return dict(record) | {SELF: _hash(record)}


def is_sealed(record: Mapping[str, Any]) -> bool:
    """Whether the entries still have the hash that was taken of them."""
    rest = {key: value for key, value in record.items() if key != SELF}
    return record.get(SELF) == _hash(rest)


def _hash(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _words(array: Array) -> Int[Array, "..."]:
    """The bits of an array in 32-bit words; 64-bit values become two of them."""
    if array.dtype == bool:
        return array.astype(jnp.uint32)
    width = min(array.dtype.itemsize, 4)
    unsigned = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[width]
    return jax.lax.bitcast_convert_type(array, unsigned).astype(jnp.uint32)


def _flat_index(shape: tuple[int, ...]) -> Int[Array, "..."]:
    """Each place's number in row-major order, made without reshaping across shards."""
    index, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        iota = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
        index += iota * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    return index
