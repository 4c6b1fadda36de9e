"""How parameters begin when nothing pre-trained is loaded.

The official rule (A.11) is meant for towers that start from RoBERTa: every matrix is
N(0, 0.02^2), which at small widths passes almost nothing on, and query positions are
N(0, 1), which drown the words (H-11). `transparent` lets a small model learn from
nothing in minutes: attention begins as a plain average, projections between equal
widths as the identity, positions small. A query then begins as the mean of its words
and a frame as itself plus the mean of the words spoken over it, in one common space.
"""

import re
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from hero_jax.types import Array, PyTree

Initializer = Literal["official", "transparent"]

Rule = Callable[[Array], Array]
WORD_SHARE = 3.0
"""How much louder than itself a frame hears the words spoken over it."""


def _identity(scale: float) -> Rule:
    return lambda x: jnp.broadcast_to(scale * jnp.eye(*x.shape[-2:]), x.shape)


def _rescaled(gain: float) -> Rule:
    """Normal or uniform values with standard deviation gain / sqrt(fan in)."""
    return lambda x: x / (jnp.std(x) + 1e-12) * gain * x.shape[-2] ** -0.5


def _times(factor: float) -> Rule:
    return lambda x: factor * x


# Parameter path -> how it begins; the first match wins, anything else stays official.
TRANSPARENT: tuple[tuple[str, Rule], ...] = (
    (r"attention/value/kernel$", _identity(1.0)),
    (r"cross_modal/.*attention/output/dense/kernel$", _identity(WORD_SHARE)),
    (r"attention/output/dense/kernel$", _identity(0.5)),
    (r"attention/(query|key)/kernel$", _rescaled(0.5)),
    (r"query/attention/.*bias$", _times(0.0)),
    (r"(query|span)/projection/(dense/)?kernel$", _identity(1.0)),
    (r"(query|span)/projection/(dense/)?bias$", _times(0.0)),
    (r"query/importance/kernel$", _times(0.0)),
    (r"query/position/position/embedding$", _times(0.02)),
    (r"caption/position/embedding$", _times(0.02)),
    (r"(position|type)/embedding$", _times(0.2)),
    (r"(frame_transform/dense|frame_embedding/projection)/kernel$", _rescaled(0.5)),
    (r"layers/inner/kernel$", _rescaled(1.0)),
    (r"layers/output/dense/kernel$", _rescaled(0.3)),
)


def begin(params: PyTree, initializer: Initializer) -> PyTree:
    """Parameters drawn officially, as the initializer wants them."""
    return params if initializer == "official" else _transparent(params)


def _transparent(params: PyTree) -> PyTree:
    def first(path, value):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        rules = (rule for pattern, rule in TRANSPARENT if re.search(pattern, name))
        return next(rules, lambda x: x)(value).astype(value.dtype)

    return jax.tree.map_with_path(first, params)
