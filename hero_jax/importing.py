"""A run directory from a file of released weights: `hero-jax import FILE.pt RUN`.

Sizes come from the tensors, and from the official config file where one is given; a
`config.json` of ours in its place brings tasks and data along, so that the run can be
searched and evaluated at once.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hero_jax import (
    carried,
    checkpoint,
    official_config,
    pretrained,
    torch_file,
    weight_files,
)
from hero_jax import config as configs
from hero_jax.carried import Carried
from hero_jax.model.hero import HeroConfig
from hero_jax.pretrained import Differences, WeightsError
from hero_jax.train import TrainConfig
from hero_jax.types import PyTree

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
        content: Mapping[str, Any] = official_config.sizes_of(state)
    else:
        content = _read_json(path)
    if path is not None and configs.CLASS in content:
        return _own_config(path)
    try:
        model = official_config.model_config(content, state)
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
