"""A run for others to use: official weights, a folder that answers queries, programs.

    official     one .pt state dict that the official code loads
    folder       config.json, model.safetensors, tokenizers/, corpora/, README.md
    stablehlo    programs that run without this package (`programs.py`)
    onnx         the same for other runtimes (`onnx_programs.py`)

Folders are written whole or not at all, with the SHA-256 of every file in a manifest.
"""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from hero_jax import (
    carried,
    checkpoint,
    exported,
    onnx_programs,
    pretrained,
    programs,
    search,
    torch_file,
)
from hero_jax import config as configs
from hero_jax.carried import Carried
from hero_jax.errors import UserError
from hero_jax.model.hero import HeroConfig
from hero_jax.model_card import model_card
from hero_jax.paths import named_leaves
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig
from hero_jax.types import PyTree

VOCABULARY_IS_PADDED = "vocab_padded"
"""The flag among the weights that the official saver writes."""


def to_official(run: Path, out: Path, *, is_legacy: bool = False) -> None:
    """Writes the run's weights as a file that the official code loads.

    `is_legacy` writes the format before PyTorch 1.6, which the official containers
    need; later versions read both.
    """
    run_dir = search.find_run(run)
    params = exported.load_params(run_dir)
    state = official_state(params["hero"], carried.load(run_dir))
    _check_absent(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    torch_file.write_state(out, state, is_legacy=is_legacy)


def official_state(hero: PyTree, origin: Carried | None) -> dict[str, Any]:
    """The official entries of some parameters, and whatever came with them.

    An entry has the place and the type it had in the file it came from, unless that
    type cannot hold the value it has now.
    """
    if origin is None:
        state = pretrained.to_official(hero)
        is_padded = len(state[pretrained.WORDS]) % 8 == 0
        return state | {VOCABULARY_IS_PADDED: is_padded}
    state = pretrained.to_official(hero, origin.entries)
    if pretrained.TIED not in origin.types:
        state.pop(pretrained.TIED, None)
    order = [name for name in origin.types if name in state]
    order += [name for name in state if name not in origin.types]
    typed = {n: _as_type(state[n], origin.types.get(n, "")) for n in order}
    if pretrained.TIED in typed:  # one array, so that the file holds it once
        typed[pretrained.TIED] = typed[pretrained.WORDS]
    return typed


def _as_type(value: Any, name: str) -> Any:
    if not isinstance(value, np.ndarray) or name not in torch_file.FLOATS:
        return value
    typed = value.astype(torch_file.FLOATS[name])
    return typed if np.array_equal(typed.astype(value.dtype), value) else value


def to_folder(run: Path, out: Path, *, split: str) -> None:
    """Writes a folder that `hero_jax.load` searches, without the dataset.

    Holds the videos of one split as the model reads them, under each language.
    """
    run_dir = search.find_run(run)
    config, params = search.read_run(run_dir)
    step, _ = checkpoint.load_params(run_dir)
    with whole_folder(out) as folder:
        portable = _with_sources(config, lambda s: _portable(s, folder))
        tasks = {name: one.portable() for name, one in portable.tasks.items()}
        portable = dataclasses.replace(portable, tasks=tasks, start=None, encoders={})
        configs.save(portable, folder / exported.CONFIG)
        teachers = tuple(f"{place}/" for place in config.encoders)
        leaves = {
            name: np.asarray(leaf)
            for name, leaf in named_leaves(params).items()
            if not name.startswith(teachers)
        }
        safetensors.numpy.save_file(leaves, folder / exported.MODEL)
        searcher = search.searcher_of(config, params)
        if searcher is not None:
            searcher.save(folder / exported.CORPORA, split)
        card = model_card(config, leaves, step=step, split=split if searcher else None)
        (folder / "README.md").write_text(card, "utf-8")


def to_stablehlo(run: Path, out: Path) -> None:
    """Writes the model as programs that run without this package."""
    _to_programs(run, out, programs.write)


def to_onnx(run: Path, out: Path) -> None:
    """Writes the model as programs that run without JAX; needs the extra `onnx`."""
    onnx_programs.converter()  # says what is missing before anything is read
    _to_programs(run, out, onnx_programs.write)


def _to_programs(
    run: Path, out: Path, write: Callable[[HeroConfig, PyTree, Path], None]
) -> None:
    run_dir = search.find_run(run)
    config = search.read_config(run_dir)
    _check_programs(config, run_dir)
    params = exported.load_params(run_dir)
    with whole_folder(out) as folder:
        write(config.model, params["hero"], folder)


def _check_programs(config: TrainConfig, run_dir: Path) -> None:
    """The programs read rows of frames and words, and nothing else."""
    sources = [getattr(task, "source", None) for task in config.tasks.values()]
    if config.model.fusion == "sequence":
        found = 'HeroConfig(fusion="sequence")'
    elif any(s is not None and s.channels == "subtitles" for s in sources):
        found = 'Source(channels="subtitles")'
    else:
        return
    raise UserError(
        f"{run_dir}: found {found}, which programs cannot read; export it --to folder"
    )


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which becomes `out` with a manifest once it is whole."""
    _check_absent(out)
    partial = out.with_name(f".{out.name}.writing")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        exported.seal(partial)
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_absent(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out}: is there already; delete it or name another --out")


def _portable(source: Source, folder: Path) -> Source:
    """The same source with its tokenizer in `folder`, where its data may be put."""
    tokenizer = source.load_tokenizer()
    path = folder / "tokenizers" / f"{tokenizer.fingerprint[:12]}.json"
    tokenizer.save(path)
    return dataclasses.replace(source, directory=folder / "dataset", tokenizer=path)


def _with_sources(value: Any, change: Callable[[Source], Source]) -> Any:
    """A configuration with every source in it changed, wherever it is."""
    inner = lambda item: _with_sources(item, change)
    if isinstance(value, Source):
        return change(value)
    if isinstance(value, tuple):
        return tuple(map(inner, value))
    if isinstance(value, Mapping):
        return {key: inner(item) for key, item in value.items()}
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    fields = {f.name: inner(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return dataclasses.replace(value, **fields)
