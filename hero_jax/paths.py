"""Leaves of a tree by name: `params/hero/frame_projection/kernel`."""

from typing import Any

import jax

from hero_jax.types import PyTree


def path_name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Every leaf of a tree under its path."""
    return {path_name(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def nested(leaves: dict[str, Any]) -> dict[str, Any]:
    """The nested dicts whose `named_leaves` these are."""
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *parents, last = name.split("/")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = leaf
    return tree
