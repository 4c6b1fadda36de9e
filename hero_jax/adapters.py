"""Low-rank adapters (Hu et al. 2021): small factors learn, the encoder stays as it is.

    x W   becomes   x (W + scale / rank  A B)     A drawn, B zero at the beginning

TLI trains its encoder so (Ngugi 2025: rank 16, scale 32, queries and values). Factors
are parameters beside the model's, under `adapters`, with the path of their matrix:

    hero/cross_modal/.../kernel                  [N D D]
    adapters/down/hero/cross_modal/.../kernel    [N D rank]
    adapters/up/hero/cross_modal/.../kernel      [N rank D]

Whoever uses parameters wants them `folded`, with A B added to W and no adapters left.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from hero_jax.paths import named_leaves, nested
from hero_jax.types import Array, Key, PyTree

NAME = "adapters"


@dataclasses.dataclass(frozen=True)
class Adapters:
    """Which matrices get factors, and how large; all else of the encoder is frozen."""

    rank: int = 16
    scale: float = 32.0
    """Divided by the rank, it multiplies the product of the factors."""
    matrices: str = r"cross_modal/.*/(query|value)/kernel$"
    """Paths that are searched for; the default is attention of the text tower."""


def begin(
    adapters: Adapters, params: Mapping[str, PyTree], key: Key[Array, ""]
) -> dict[str, PyTree]:
    """Parameters with factors that change nothing yet. ValueError if none match."""
    found = {
        name: leaf
        for name, leaf in named_leaves(params).items()
        if re.search(adapters.matrices, name)
    }
    if not found:
        raise ValueError(
            f"Adapters: matrices: no parameter's path has {adapters.matrices!r} in it; "
            "choose another expression"
        )
    down, up = {}, {}
    for number, (name, leaf) in enumerate(sorted(found.items())):
        *stack, width, height = leaf.shape
        own = jax.random.fold_in(key, number)
        drawn = jax.random.normal(own, (*stack, width, adapters.rank), leaf.dtype)
        down[name] = drawn * width**-0.5
        up[name] = jnp.zeros((*stack, adapters.rank, height), leaf.dtype)
    factors = {"down": nested(down), "up": nested(up)}
    gain = jnp.asarray(adapters.scale / adapters.rank, jnp.float32)
    return {**params, NAME: {**factors, "gain": gain}}


def folded(params: PyTree, *, is_training: bool = False) -> PyTree:
    """Parameters of the model alone; those without adapters are returned as they are.

    Args:
        is_training: no gradient reaches the encoder itself.
    """
    if NAME not in params:
        return params
    rest = {name: tree for name, tree in params.items() if name != NAME}
    if is_training:
        rest["hero"] = jax.lax.stop_gradient(rest["hero"])
    own = params[NAME]
    down, up = named_leaves(own["down"]), named_leaves(own["up"])
    gain: Any = jax.lax.stop_gradient(own["gain"])
    leaves = named_leaves(rest)
    for name in down:
        change = gain * (down[name] @ up[name])
        leaves[name] = leaves[name] + change.astype(leaves[name].dtype)
    return nested(leaves)
