"""Targeted lexical injection into a trained run, as published (TLI, Ngugi 2025).

    python -m experiments.crosslingual.inject --start runs/mtvr_loo/vsm \
        --run_dir runs/injected --layer 1

Translations meet at one layer of the text tower: low-rank adapters of its queries and
values learn a one-way hinge of 0.4 against the hardest negative, all else stays. Prints
what that does to retrieval and to the alignment of translations, before and after, and
writes it to `results.json`. Where the paper reports the mean cosine of translations
alone, it stands beside the cosine of shuffled pairs here: a space that merely shrinks
raises both.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from experiments.common import describe, holding, is_first, say, settle_in
from experiments.crosslingual.diagnostics import diagnose
from hero_jax import checkpoint, command_line, errors, search
from hero_jax.adapters import Adapters
from hero_jax.losses.lexical import Lexical
from hero_jax.optimizer import OptimizerConfig
from hero_jax.paths import named_leaves, nested
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.parallel_text import ParallelText
from hero_jax.train import TrainConfig, train
from hero_jax.types import PyTree
from hero_jax.warm_start import Start


@dataclasses.dataclass(frozen=True)
class Inject:
    """Bring the translations of a trained run together at one layer."""

    start: Path
    """The run to begin with; its dataset must have parallel texts."""
    run_dir: Path
    """Where everything goes that this run makes."""
    layer: int = 1
    """Layer of the text tower whose words are averaged; adapters up to it learn."""
    steps: int = 400
    """Updates."""
    batch_size: int = 64
    """Pairs of translations in a batch; the paper takes 8."""
    learning_rate: float = 2e-4
    """The peak."""
    margin: float = 0.4
    """Lead that a translation must have over the hardest other text."""
    order: tuple[str, ...] = ()
    """The language that searches and the one that is searched; empty draws them."""
    rank: int = 16
    """Of the adapters."""
    scale: float = 32.0
    """Of the adapters; divided by the rank."""
    seed: int = 0
    """Of the training."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(Inject, description=__doc__)
    check(config)
    settle_in(config.run_dir)
    with holding(config.run_dir, fresh=config.fresh):
        run(config)


def run(config: Inject) -> dict[str, Any]:
    """Everything the module says; returns {"before": ..., "after": ...}."""
    begin = time.monotonic()
    start, params = search.read_run(config.start)
    task = retrieval_of(start, config.start)
    say("before")
    results = {"before": measured(task, start, params)}
    whole = train_config(config, start, task)
    say(f"{config.run_dir}: {config.steps} steps")
    train(whole, config.run_dir / "injected", fresh=config.fresh)
    _, learnt = checkpoint.load_params(config.run_dir / "injected")
    results["after"] = measured(task, start, with_leaves(params, learnt))
    if is_first():
        publish(config, results, seconds=time.monotonic() - begin)
    return results


def with_leaves(params: PyTree, learnt: PyTree) -> PyTree:
    """The start's parameters with those of the text tower as they are now."""
    return nested(named_leaves(params) | named_leaves(learnt))


def retrieval_of(start: TrainConfig, path: Path) -> MomentRetrieval:
    """The task of the run that searches."""
    found = [t for t in start.tasks.values() if isinstance(t, MomentRetrieval)]
    if not found:
        raise errors.UserError(
            f"{path}: found the tasks {', '.join(start.tasks)}, expected one of "
            "retrieval; name the run of a retrieval experiment"
        )
    return found[0]


def train_config(
    config: Inject, start: TrainConfig, task: MomentRetrieval
) -> TrainConfig:
    parallel = ParallelText(
        source=task.source,
        objective=Lexical(config.margin),
        layer=config.layer,
        order=config.order,
        batch_size=config.batch_size,
    )
    return TrainConfig(
        tasks={"parallel": parallel},
        model=start.model,
        steps=config.steps,
        seed=config.seed,
        start=Start(config.start.absolute()),
        optimizer=OptimizerConfig(
            learning_rate=config.learning_rate,
            warmup_steps=max(1, min(50, config.steps // 10)),
        ),
        adapters=Adapters(config.rank, config.scale),
        mesh=config.mesh,
        log_every=20,
        save_every=200,
    )


def measured(
    task: MomentRetrieval, start: TrainConfig, params: PyTree
) -> dict[str, Any]:
    """VR MRR of every pair of languages on the test split, and what vectors say."""
    matrix = task.language_matrix(start.model, params, "test")
    ranks = matrix.ranks()
    return {
        "VR MRR": {
            f"{asked}-{read}": round(float((1 / found.video).mean()), 5)
            for asked, row in ranks.items()
            for read, found in row.items()
        },
        **diagnose(matrix),
    }


def rows_of(measures: Mapping[str, Any]) -> dict[str, float]:
    """What is printed of one side."""
    rows = {f"VR MRR {pair}": value for pair, value in measures["VR MRR"].items()}
    for pair, found in measures["vectors"].items():
        for kind in ("true", "shuffled"):
            of = found["alignment"][kind]
            rows[f"{pair} P@1, {kind} pairs"] = of["forward_P@1"]
            rows[f"{pair} cosine, {kind} pairs"] = of["cosine"]
    return rows


def publish(config: Inject, results: Mapping[str, Any], *, seconds: float) -> None:
    """Prints before and after side by side and writes results.json."""
    before, after = (rows_of(results[name]) for name in ("before", "after"))
    for name, value in before.items():
        print(f"{name:32} {value:8.3f} -> {after[name]:.3f}")
    facts = {"start": str(config.start), "layer": config.layer, "seed": config.seed}
    meta = describe("experiments.crosslingual.inject", seconds, **facts)
    write_results(config.run_dir, results, meta)


def write_results(
    run_dir: Path, results: Mapping[str, Any], meta: Mapping[str, Any]
) -> None:
    content = json.dumps({"results": results, "meta": meta}, indent=2)
    write_whole(run_dir / "results.json", content + "\n")


def check(config: Inject) -> None:
    """Refuses what cannot work before anything is read."""
    for name in ("layer", "steps", "batch_size", "rank"):
        if (found := getattr(config, name)) < 1:
            raise errors.UserError(f"--{name}: found {found}, expected 1 or more")
    if len(config.order) not in (0, 2):
        raise errors.UserError(
            f"--order: found {' '.join(config.order)}, expected two languages or none"
        )


if __name__ == "__main__":
    errors.run_main(main)
