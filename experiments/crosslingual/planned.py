"""What a cell trains, as the grid declares it, and whether a finished cell did."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.common import small_model, small_shape
from experiments.crosslingual import corpora
from experiments.crosslingual.grid import ARMS, VARIANTS, Arm, Cell, Grid, Variant
from experiments.crosslingual.records import Record
from hero_jax import config as configs
from hero_jax.losses.ranking import VSM
from hero_jax.model.hero import HeroConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.tasks.base import Task
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.parallel_text import ParallelText
from hero_jax.tasks.source import Source
from hero_jax.train import TrainConfig

DROPOUT = 0.1
RETRIEVAL_SHARE = 3
"""Updates of retrieval for each update of an aid."""

LEFT_OPEN = (
    "model.vocab_size",
    "model.unused_words",
    "model.feature_width",
    "model.dtype",
    "mesh",
    "num_workers",
    "log_every",
    "save_every",
    "save_seconds",
    "eval_every",
    "keep",
    "max_bad_steps",
    "watchdog_seconds",
    "tensorboard",
)
"""What hangs on a machine or on the data, or changes nothing that is learnt."""
OF_SOURCE = ("directory", "dataset", "tokenizer")
"""Where the data lie; a family has one dataset, and all tasks of a cell that one."""
AS_BEFORE: Mapping[str, Any] = {
    "adapters": None,
    "tasks.moments.train_split": "train",
    "tasks.moments.frames": None,
    "tasks.moments.switch_rate": 0.0,
    "tasks.moments.video_indices": None,
    "optimizer.skips_untouched": True,
    "model.score.class": "hero_jax.model.moment.FrameScore",
    "model.score.kind": "max",
    "model.score.sharpness": 10.0,
}
"""Fields that older cells lack, and how they behaved."""
ANY_SOURCE = Source(directory=Path(), dataset="", tokenizer=Path(), row_length=64)


def train_config(
    grid: Grid, cell: Cell, source: Source, model: HeroConfig
) -> TrainConfig:
    """The run of a cell."""
    variant, arm = _declared(cell)
    task = retrieval(grid, cell, source)
    tasks: dict[str, Task] = {"moments": task}
    steps = cell.steps
    if (aid := variant.aid).objective is not None:
        parallel = ParallelText(source=source, objective=aid.objective, layer=aid.layer)
        weighted = dataclasses.replace(task, weight=RETRIEVAL_SHARE)
        tasks = {"moments": weighted, "parallel": parallel}
        steps = round(steps * (RETRIEVAL_SHARE + 1) / RETRIEVAL_SHARE)
    return TrainConfig(
        tasks=tasks,
        model=model,
        steps=steps,
        seed=cell.seed,
        optimizer=OptimizerConfig(
            learning_rate=arm.learning_rate, warmup_steps=max(1, steps // 10)
        ),
        log_every=max(1, steps // 20),
        save_every=1000,
        eval_every=cell.eval_every,
    )


def retrieval(grid: Grid, cell: Cell, source: Source) -> MomentRetrieval:
    """What a cell learns and is judged by."""
    variant, arm = _declared(cell)
    objective = arm.objective
    if variant.hard_share is not None and isinstance(objective, VSM):
        start = round(variant.hard_share * cell.steps)
        objective = dataclasses.replace(objective, hard_start_step=start)
    task = corpora.retrieval(cell.corpus, source)(
        objective=objective,
        span=arm.span,
        frames=variant.frames,
        languages=cell.languages,
        switch_rate=variant.aid.switch_rate,
    )
    return dataclasses.replace(task, batch_size=grid.batch_size or task.batch_size)


def model(grid: Grid, cell: Cell, source: Source) -> HeroConfig:
    """The HERO of a cell."""
    small = small_model(source, width=grid.width, layers=grid.layers, dropout=DROPOUT)
    return dataclasses.replace(small, score=_declared(cell)[0].score)


def model_of(grid: Grid) -> HeroConfig:
    """Its HERO but for vocabulary, frames and score. Raises ValueError for none."""
    width, layers = grid.width, grid.layers
    return small_shape(ANY_SOURCE, width=width, layers=layers, dropout=DROPOUT)


def differences(grid: Grid, record: Record, cell: Cell) -> Iterator[str]:
    """What a finished cell's configuration says that the grid does not, or lacks."""
    hero = dataclasses.replace(model_of(grid), score=_declared(cell)[0].score)
    config = configs.to_json(train_config(grid, cell, ANY_SOURCE, hero))
    wanted, found = _held(config), _held(record["config"])
    for name in (*wanted, *(name for name in found if name not in wanted)):
        as_before = AS_BEFORE.get(name, "nothing")
        was, now = found.get(name, as_before), wanted.get(name, "nothing")
        if was != now:
            yield f"config.{name}: found {was}, expected {now}"
    if len(datasets := sorted(dataset_names(record["config"]))) != 1:
        yield f"config.tasks: found datasets {datasets}, expected one"


def dataset_names(config: Any) -> set[str]:
    """Of all sources in a configuration."""
    return {
        str(value) for name, value in flat(config) if name.endswith(".source.dataset")
    }


def flat(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every number and name of a configuration, by its whole path."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from flat(value, (*path, name))
    else:
        yield ".".join(path), config


def _declared(cell: Cell) -> tuple[Variant, Arm]:
    variant = VARIANTS.get(cell.arm, Variant(cell.arm))
    return variant, ARMS[variant.of][cell.trial]


def _held(config: Any) -> dict[str, Any]:
    found = dict(flat(config))
    is_open = lambda name: (
        any(f"{name}.".startswith(f"{other}.") for other in LEFT_OPEN)
        or any(name.endswith(f".source.{other}") for other in OF_SOURCE)
    )
    return {name: value for name, value in found.items() if not is_open(name)}
