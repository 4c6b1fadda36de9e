"""Where a run's parameters begin: another run, released weights or a language model.

What the weights have and the model uses is taken over, the rest begins as configured.
Shapes must agree: nothing is cut or drawn anew without a word.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax import (
    carried,
    exported,
    pretrained,
    text_encoders,
    weight_files,
)
from hero_jax.carried import Carried
from hero_jax.model.hero import HeroConfig
from hero_jax.paths import named_leaves, path_name
from hero_jax.pretrained import WeightsError
from hero_jax.types import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Start:
    """Weights to begin with instead of random ones."""

    path: Path
    """A run directory or an exported folder; released HERO weights (.pt); or the
    weights of RoBERTa, XLM-R or multilingual BERT (.safetensors, .bin)."""
    skips_layers: bool = True
    """Of a language model every other layer, as officially; else the first ones."""
    is_official: bool = False
    """Leave the word head of a language model out, as the official loader does."""


def begin(
    start: Start, params: PyTree, config: HeroConfig
) -> tuple[PyTree, Carried | None]:
    """`params` with what the weights have in its place; and what is left over.

    Raises WeightsError where a tensor has another shape than the model's.
    """
    if (start.path / exported.CONFIG).is_file():
        return _from_run(start.path, params)
    state = weight_files.read(start.path)
    if any(name.startswith("v_encoder.") for name in state):
        return _from_hero(start.path, state, params)
    encoder = text_encoders.read(start.path)
    entries = text_encoders.as_official(
        encoder,
        config,
        skips_layers=start.skips_layers,
        is_official=start.is_official,
    )
    values = pretrained.leaves_of(entries, params["hero"])
    taken = _replaced(params, _under_hero(values), str(start.path))
    return jax.tree_util.tree_map_with_path(_unmasked, taken), None


def _from_run(run_dir: Path, params: PyTree) -> tuple[PyTree, Carried | None]:
    """Leaves of equal name, heads included; the rest of the run is left over."""
    source = exported.load_params(run_dir)
    mine, theirs = named_leaves(params), named_leaves(source)
    shared = {name: theirs[name] for name in theirs if name in mine}
    origin = carried.load(run_dir)
    if origin is not None:
        left = pretrained.to_official(source["hero"])
        held = pretrained.names_of(params["hero"])
        rest = {name: left[name] for name in origin.types if name in left}
        rest = {n: v for n, v in rest.items() if n not in (*held, pretrained.TIED)}
        entries = dict(origin.entries) | rest
        origin = dataclasses.replace(origin, entries=entries)
    return _replaced(params, shared, str(run_dir)), origin


def put_encoder(params: PyTree, place: str, run_dir: Path) -> PyTree:
    """`params` with the encoder of a run at `place`, such as `heads_moments/teacher_0`.

    Raises WeightsError where the run has another encoder than stands there.
    """
    source = exported.load_params(run_dir)
    theirs = named_leaves(source["hero"])
    values = {f"{place}/{name}": leaf for name, leaf in theirs.items()}
    mine = [name for name in named_leaves(params) if name.startswith(f"{place}/")]
    if not mine:
        raise WeightsError(
            f"{run_dir}: encoders: the model has no parameters at {place}"
        )
    if missing := [name for name in mine if name not in values]:
        raise WeightsError(
            f"{run_dir}: has no {missing[0].removeprefix(place + '/')}, which {place} "
            "needs; give it the configuration of this run"
        )
    return _replaced(params, values, str(run_dir))


def _from_hero(
    path: Path, state: Mapping[str, Any], params: PyTree
) -> tuple[PyTree, Carried]:
    values = pretrained.leaves_of(state, params["hero"])
    held = (*pretrained.names_of(params["hero"]), pretrained.TIED)
    rest = {name: value for name, value in state.items() if name not in held}
    types, sha256 = carried.types_of(state), weight_files.sha256(path)
    origin = Carried(path.name, sha256, types, rest)
    return _replaced(params, _under_hero(values), str(path)), origin


def _under_hero(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"hero/{name}": value for name, value in values.items()}


def _unmasked(path: tuple, leaf: jax.Array) -> jax.Array:
    """Frames that are not masked begin as they are in the temporal tower (A.11)."""
    is_table = path_name(path) == "hero/frame_mask/rows/embedding"
    return leaf.at[0].set(0) if is_table else leaf


def _replaced(params: PyTree, values: Mapping[str, Any], place: str) -> PyTree:
    """`params` with some leaves replaced, each where the old one is."""
    if not values:
        raise WeightsError(f"{place}: found no parameter of this model")
    wrong = [
        f"{name} is {np.shape(values[name])}, not {leaf.shape}"
        for name, leaf in named_leaves(params).items()
        if name in values and np.shape(values[name]) != leaf.shape
    ]
    if wrong:
        raise WeightsError(
            f"{place}: does not fit the model; misshapen: {', '.join(wrong)}; choose "
            f"the sizes of the model accordingly"
        )

    def replaced(path: tuple, old: jax.Array) -> Array:
        new = values.get(path_name(path))
        return old if new is None else _placed(np.asarray(new, old.dtype), old)

    return jax.tree_util.tree_map_with_path(replaced, params)


def _placed(new: np.ndarray, old: jax.Array) -> jax.Array:
    """`new` on the devices of `old`: each process gives the parts it has."""
    return jax.make_array_from_callback(
        old.shape, old.sharding, lambda index: jnp.asarray(new[index])
    )
