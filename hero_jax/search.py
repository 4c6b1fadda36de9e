"""A trained run that answers queries: `hero_jax.load(run).search("...")`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hero_jax import checkpoint, exported
from hero_jax import config as configs
from hero_jax.errors import UserError
from hero_jax.tasks.base import Searcher, Task
from hero_jax.train import TrainConfig
from hero_jax.types import PyTree

PREDICTIONS = "predictions"
"""Folder of a run with what it answered."""


def load(run: str | Path) -> Searcher:
    """The searcher of a run directory, of an exported one, or of the first run inside.

    Raises UserError where there is no run, no checkpoint, or no task that searches.
    """
    run_dir = find_run(Path(run))
    config, params = read_run(run_dir)
    corpora = run_dir / exported.CORPORA
    found = searcher_of(config, params, corpora if corpora.is_dir() else None)
    if found is None:
        raise UserError(
            f"{run_dir}: tasks: found {', '.join(config.tasks) or 'none'}, none of "
            f"which retrieves videos; name a run that trained MomentRetrieval"
        )
    return found


def searcher_of(
    config: TrainConfig, params: PyTree, corpora: Path | None = None
) -> Searcher | None:
    """What the first task that searches answers with; None if none does."""
    tasks = config.tasks.values()
    found = (task.searcher(config.model, params, corpora=corpora) for task in tasks)
    return next((searcher for searcher in found if searcher is not None), None)


def evaluate(run: str | Path, split: str) -> Mapping[str, Any]:
    """What the first task of a run that is measured says about a split; predictions
    are written beside it."""
    run_dir = find_run(Path(run))
    config, params = read_run(run_dir)
    folder = run_dir / PREDICTIONS
    found = (
        task.evaluate(config.model, params, split, predictions_dir=folder)
        for task in measured(config).values()
    )
    return next((results for results in found if results), {})


def evaluate_all(run_dir: Path, split: str) -> dict[str, Mapping[str, Any]]:
    """Task -> what it says about a split; {} where nothing is known to measure it by.

    What is answered goes to `predictions/<split>` in the run, in a folder for each of
    several tasks: other splits, and what the experiment wrote, stay.
    """
    config, params = read_run(run_dir)
    folder, tasks = run_dir / PREDICTIONS / split, measured(config)
    return {
        name: task.evaluate(
            config.model,
            params,
            split,
            predictions_dir=folder / name if len(tasks) > 1 else folder,
        )
        for name, task in tasks.items()
    }


def measured(config: TrainConfig) -> dict[str, Task]:
    """The tasks of a run that are ends, if it has any beside means of learning."""
    ends = {name: task for name, task in config.tasks.items() if not task.is_means}
    return ends or dict(config.tasks)


def find_run(path: Path) -> Path:
    """The directory itself if it is a run; else its first run in the order of time."""
    if (path / "config.json").is_file():
        return path
    runs = sorted(path.glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    if not runs:
        raise UserError(
            f"{path}: found no config.json, here or one level down; name the --run_dir "
            f"of a training run"
        )
    return runs[0].parent


def read_run(run_dir: Path) -> tuple[TrainConfig, PyTree]:
    """The configuration and the newest parameters, trained on the data that is there.

    Raises UserError where the dataset or the tokenizer has changed since.
    """
    config = read_config(run_dir)
    if exported.is_exported(run_dir):
        return config, exported.read_params(run_dir)
    data = {
        f"tasks.{name}.{field}": value
        for name, task in config.tasks.items()
        for field, value in task.fingerprint(task.train_split).items()
    }
    return config, checkpoint.load_params(run_dir, data=data)[1]


def read_config(run_dir: Path) -> TrainConfig:
    config: Any = configs.load(run_dir / exported.CONFIG)
    if not isinstance(config, TrainConfig):
        raise UserError(
            f"{run_dir / 'config.json'}: found a {type(config).__name__}, expected a "
            f"TrainConfig; name the --run_dir of a training run"
        )
    return config


def as_rows(answers: list[Any]) -> list[dict[str, Any]]:
    """Answers as plain objects: video, start, end (seconds), score."""
    return [dataclasses.asdict(answer) for answer in answers]
