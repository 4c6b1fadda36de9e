"""What a cell trains, as the grid declares it, and whether a finished cell did."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.common import small_model, small_tower
from experiments.crosslingual import corpora
from experiments.crosslingual.grid import ARMS, VARIANTS, Cell, Grid, Variant
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

HELD = ("tasks", "steps", "seed", "optimizer")
HELD_OF_MODEL = ("cross_modal", "temporal", "score", "dropout", "query_heads")
"""What of a configuration a cell's name and its grid decide."""
LATER: Mapping[str, Any] = {
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


def differences(grid: Grid, record: Record, cell: Cell) -> Iterator[str]:
    """What a finished cell's configuration says that the grid does not, or lacks."""
    tower = small_tower(width=grid.width, layers=grid.layers, dropout=DROPOUT)
    hero = HeroConfig(
        cross_modal=tower,
        temporal=tower,
        query_heads=tower.num_heads,
        score=_declared(cell)[0].score,
        dropout=DROPOUT,
    )
    config = configs.to_json(train_config(grid, cell, ANY_SOURCE, hero))
    wanted, found = _held(config), _held(record["config"])
    for name, value in LATER.items():
        if not any(f"{other}.".startswith(f"{name}.") for other in found):
            found[name] = value
    for name in (*wanted, *(name for name in found if name not in wanted)):
        was, now = (_text(held, name) for held in (found, wanted))
        if was != now:
            yield f"config.{name}: found {was}, expected {now}"


def flat(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every number and name of a configuration, by its whole path."""
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from flat(value, (*path, name))
    else:
        yield ".".join(path), config


def _declared(cell: Cell) -> tuple[Variant, Any]:
    variant = VARIANTS.get(cell.arm, Variant(cell.arm))
    return variant, ARMS[variant.of][cell.trial]


def _held(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without where the data lie, how large the vocabulary is, and what saves."""
    part = {name: config.get(name) for name in HELD}
    model = config.get("model") or {}
    part["model"] = {name: model[name] for name in HELD_OF_MODEL if name in model}
    return {k: v for k, v in flat(part) if ".source." not in k}


def _text(held: Mapping[str, Any], name: str) -> str:
    return str(held[name]) if name in held else "nothing"
