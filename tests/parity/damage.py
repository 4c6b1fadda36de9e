"""Copies of a recorded set in which a single value differs.

A leaf is one scalar of a `.json` file or one element of an array of an `.npz` file. The
copy links to all other files, so it is read as any recorded set is.
"""

import copy
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

FOLDERS = ("model", "optim", "eval", "data/expected", "data/e2e")
"""Where the cases of a set are."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One value of a recorded file."""

    file: str
    """Relative to the set."""
    path: tuple[str | int, ...]
    """Keys and indices; of an array its name and the place among its elements."""

    def __str__(self) -> str:
        return ":".join((self.file, "/".join(map(str, self.path))))


def files(root: Path) -> list[str]:
    """Every file of every case."""
    found = (path for name in FOLDERS for path in (root / name).glob("*"))
    return sorted(str(path.relative_to(root)) for path in found)


def leaves(root: Path, file: str, per_array: int | None = None) -> Iterator[Leaf]:
    """All leaves of a file; of each array at most so many elements, evenly spread."""
    if file.endswith(".json"):
        content = json.loads((root / file).read_text("utf-8"))
        yield from (Leaf(file, path) for path in scalars(content))
        return
    with np.load(root / file) as arrays:
        for name in arrays.files:
            size = arrays[name].size
            count = size if per_array is None else min(size, per_array)
            for place in np.linspace(0, size - 1, count).astype(int):
                yield Leaf(file, (name, int(place)))


def scalars(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple]:
    pairs = enumerate(tree) if isinstance(tree, list) else ()
    pairs = tree.items() if isinstance(tree, dict) else pairs
    if not isinstance(tree, dict | list):
        yield path
    for key, value in pairs:
        yield from scalars(value, (*path, key))


def damaged_copy(root: Path, leaf: Leaf, folder: Path) -> Path:
    """A set in an empty folder, equal to the other but for one value."""
    target = link_all_but(root, leaf.file, folder)
    if leaf.file.endswith(".json"):
        content = json.loads((root / leaf.file).read_text("utf-8"))
        target.write_text(json.dumps(with_other_scalar(content, leaf.path)), "utf-8")
        return folder
    with np.load(root / leaf.file) as file:
        arrays = dict(file)
    name, place = leaf.path
    arrays[name] = with_other_element(arrays[name], place)
    np.savez(target, **arrays)
    return folder


def link_all_but(root: Path, file: str, folder: Path) -> Path:
    """Links to everything but one file; where that file would be."""
    *parents, last = Path(file).parts
    for part in (*parents, last):
        folder.mkdir(exist_ok=True)
        for entry in os.scandir(root):
            if entry.name != part:
                (folder / entry.name).symlink_to(os.path.realpath(entry.path))
        root, folder = root / part, folder / part
    return folder


def with_other_scalar(tree: Any, path: tuple[str | int, ...]) -> Any:
    tree = copy.deepcopy(tree)
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = other(parent[path[-1]])
    return tree


def other(value: Any) -> Any:
    """Another value of the same type."""
    if value is None or isinstance(value, str):
        return f"{value}!"
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value * 1.5 if abs(value) > 1e-12 else 1e-3


def with_other_element(array: np.ndarray, place: int) -> np.ndarray:
    """Whole numbers by one, others by a hundredth of the largest."""
    array = array.copy()
    value = array.flat[place]
    if array.dtype == bool:
        array.flat[place] = not value
    elif array.dtype.kind == "f":
        array.flat[place] = value + 0.01 * max(np.abs(array).max(), 0.1)
    else:
        array.flat[place] = value + 1
    return array
