"""A run directory from a file of released weights: `hero-jax import FILE.pt RUN`.

Sizes come from the tensors, and from the official config file where one is given; a
`config.json` of ours in its place brings tasks and data along, so that the run can be
searched and evaluated at once.
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hero_jax import carried, checkpoint, pretrained, torch_file, weight_files
from hero_jax import config as configs
from hero_jax.carried import Carried
from hero_jax.model.hero import HeroConfig
from hero_jax.pretrained import Differences, WeightsError
from hero_jax.train import TrainConfig
from hero_jax.types import PyTree

HEAD_WIDTH = 64
"""Of an attention head in every released model; tensors do not tell."""
PADDED_WORDS, WORDS = 50272, 50265
"""Rows of RoBERTa's word table as HERO pads it, and the words among them (A.12)."""

State = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Imported:
    """What an import has done."""

    sha256: str
    """Of the file; the older format has no checksum of its own."""
    num_parameters: int
    kept: tuple[str, ...]
    """Entries that no parameter holds: kept, and exported again."""
    differences: Differences
    """What did not fit; empty unless the import was partial."""


def import_file(
    path: Path,
    run_dir: Path,
    *,
    config_path: Path | None = None,
    is_partial: bool = False,
    seed: int = 0,
) -> Imported:
    """Makes `run_dir` from the weights in `path`.

    Entries that are missing, unknown or misshapen are listed and refused; a partial
    import draws the missing ones anew, with `seed`, and keeps the unknown ones.
    """
    state = weight_files.read(path)
    config = read_config(config_path, state)
    shapes = pretrained.hero_shapes(config.model, pretrained.parts_of(state))
    found = differences(state, shapes)
    if str(found) and not is_partial:
        raise WeightsError(
            f"{path}: does not fit the model; {found}; name the right --config, or "
            f"take what fits with --partial"
        )
    params = _fitting(state, found, config.model, seed)
    types = carried.types_of(state)
    held = pretrained.to_official(params)
    kept = {name: value for name, value in state.items() if name not in held}
    sha256 = weight_files.sha256(path)
    origin = Carried(path.name, sha256, types, kept)
    _write(run_dir, config, {"hero": params}, origin)
    num_parameters = sum(held[name].size for name in held if name != pretrained.TIED)
    return Imported(sha256, num_parameters, tuple(kept), found)


def differences(state: State, shapes: PyTree) -> Differences:
    """Those of shape, and values that are no finite numbers where weights belong."""
    found = pretrained.differences(state, shapes)
    strange = dict(found.misshapen)
    for name in pretrained.names_of(shapes):
        if name in state and name not in strange and (how := _strange(state[name])):
            strange[name] = how
    return dataclasses.replace(found, misshapen=strange)


def _strange(value: Any) -> str:
    """What is wrong with the values of an entry; empty if nothing is."""
    kind = value.dtype.name if isinstance(value, np.ndarray) else type(value).__name__
    if kind not in torch_file.FLOATS:
        return f"{kind}, not floating-point numbers"
    with np.errstate(over="ignore"):  # beyond float32 is infinite where it is used
        return "" if np.isfinite(value.astype(np.float32)).all() else "not finite"


def _fitting(state: State, found: Differences, model: HeroConfig, seed: int) -> PyTree:
    """The parameters; what is missing or misshapen begins as officially (A.11)."""
    parts = pretrained.parts_of(state)
    rest = [*found.unknown, *found.misshapen]
    fitting = {name: value for name, value in state.items() if name not in rest}
    if found.missing or found.misshapen:
        drawn = pretrained.to_official(pretrained.draw(model, parts, seed=seed))
        fitting.pop(pretrained.TIED, None)
        fitting |= {n: drawn[n] for n in (*found.missing, *found.misshapen)}
    return pretrained.from_official(fitting, model)


def _write(run_dir: Path, config: TrainConfig, params: PyTree, origin: Carried) -> None:
    """The parts of a run, the checkpoint last: without it there is no run."""
    checkpoint.check_writable(run_dir)
    with checkpoint.RunLock(run_dir):
        _check_empty(run_dir)
        carried.save(origin, run_dir)
        configs.save(config, run_dir / "config.json")
        with checkpoint.Checkpoints(run_dir, keep=config.keep) as saved:
            record = configs.to_json(config)
            saved.save(0, {"params": params}, config=record, data={})
            saved.finish(0)


def _check_empty(run_dir: Path) -> None:
    for path in sorted(run_dir.iterdir()):
        if path.name != ".lock":
            raise WeightsError(
                f"{run_dir}: found {path.name}, expected an empty directory; delete it "
                f"or name another one"
            )


# --- configuration ------------------------------------------------------------------


def read_config(path: Path | None, state: State) -> TrainConfig:
    """The configuration of the run: ours, or the model's alone with no tasks."""
    if path is None:
        content: Mapping[str, Any] = official_sizes(state)
    else:
        content = _read_json(path)
    if path is not None and configs.CLASS in content:
        return _own_config(path)
    try:
        model = pretrained.config_from_official(content, state)
    except WeightsError as error:
        raise WeightsError(f"{path or 'sizes of the weights'}: {error}") from None
    return TrainConfig(tasks={}, model=model)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        if isinstance(content, Mapping):
            return content
        raise ValueError(f"found a {type(content).__name__}, expected an object")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: not JSON ({error})") from None


def _own_config(path: Path) -> TrainConfig:
    config = configs.load(path)
    if not isinstance(config, TrainConfig):
        raise WeightsError(
            f"{path}: class: found {type(config).__name__}, expected the config.json "
            f"of a run, or an official model config"
        )
    return config


def official_sizes(state: State) -> dict[str, dict[str, Any]]:
    """An official model config, as far as tensors tell; the rest is as released.

    Heads are 64 wide and dropout is 0.1 in every released model. 50272 rows of words
    are RoBERTa's 50265, padded.
    """
    encoder = "v_encoder.f_encoder"
    words = _rows(state, f"{encoder}.embeddings.word_embeddings.weight")
    text = _tower(state, f"{encoder}.encoder", "attention.self.query", "intermediate")
    video = _tower(
        state, "v_encoder.c_encoder.encoder", "attention.self.query", "intermediate"
    )
    sizes = {
        "f_config": text
        | {
            "vocab_size": WORDS if words == PADDED_WORDS else words,
            "max_position_embeddings": _rows(
                state, f"{encoder}.embeddings.position_embeddings.weight"
            ),
        },
        "c_config": text | video | {"max_position_embeddings": _rows(
            state, "v_encoder.c_encoder.embeddings.position_embeddings.weight"
        )},
    }  # fmt: skip
    queries = "q_feat_attn.query_pos_embed.position_embeddings.weight"
    if queries in state:
        sizes["q_config"] = text | {"max_position_embeddings": _rows(state, queries)}
    if "caption" in pretrained.parts_of(state):
        sizes["d_config"] = _tower(
            state, "decoder", "self_attention.query", "intermidiate"
        )
    return sizes


def _tower(state: State, prefix: str, query: str, inner: str) -> dict[str, Any]:
    """The sizes of a stack of layers; a missing one has no layers."""
    pattern = re.compile(rf"{re.escape(prefix)}\.layer\.(\d{{1,4}})\.")
    numbers = {int(m[1]) for name in state if (m := pattern.match(name))}
    sizes: dict[str, Any] = {"num_hidden_layers": pretrained.num_layers(numbers)}
    if not numbers:
        return sizes
    width = _rows(state, f"{prefix}.layer.0.{query}.weight")
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"weights: {prefix} is {width} wide, so the number of its attention heads "
            f"cannot be told; name the official model config with --config"
        )
    return sizes | {
        "hidden_size": width,
        "num_attention_heads": width // HEAD_WIDTH,
        "intermediate_size": _rows(state, f"{prefix}.layer.0.{inner}.dense.weight"),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
    }


def _rows(state: State, name: str) -> int:
    array = state.get(name)
    if not isinstance(array, np.ndarray) or not array.ndim:
        raise WeightsError(
            f"weights: {name} is missing, so this is no model of HERO; RoBERTa's and "
            f"other weights begin a training run (TrainConfig.start)"
        )
    return array.shape[0]
