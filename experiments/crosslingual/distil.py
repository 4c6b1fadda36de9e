"""A student that learns other languages from teachers who read English (C2KD).

    python -m experiments.crosslingual.distil --teachers runs/mtvr_loo/vsm \
        --run_dir runs/taught

Teachers score the English version of every query against the English version of every
video; the student reads queries and subtitles in the languages drawn and learns the
true pairs (InfoNCE) together with the teachers' ranking (Rouditchenko et al. 2023). It
has the size and the data of the first teacher, and begins from random parameters.

Prints retrieval by the first teacher and by the student side by side and writes it to
`results.json`. With `--alpha 0` the teachers are not listened to: that is the baseline.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common import (
    describe,
    holding,
    is_first,
    say,
    settle_in,
)
from experiments.crosslingual.inject import measured, retrieval_of, write_results
from hero_jax import checkpoint, command_line, errors, search
from hero_jax.losses.distillation import Distillation
from hero_jax.optimizer import OptimizerConfig
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.taught_retrieval import TaughtRetrieval, fields_of
from hero_jax.train import TrainConfig, train


@dataclasses.dataclass(frozen=True)
class Distil:
    """Teach a student every language of a corpus by what is known in English."""

    teachers: tuple[Path, ...]
    """Runs of retrieval on the same dataset and tokenizer."""
    run_dir: Path
    """Where everything goes that this run makes."""
    language: str = "en"
    """What the teachers read."""
    temperature: float = 0.05
    """Scores of student and teachers are divided by this."""
    alpha: float = 1.0
    """How much the teachers count beside InfoNCE."""
    steps: int = 400
    """Updates."""
    learning_rate: float = 1e-3
    """The peak."""
    seed: int = 0
    """Of the training."""
    mesh: MeshConfig = MeshConfig()
    """Devices: mesh.data splits batches, mesh.model splits parameters."""
    fresh: bool = False
    """Refuse to go on from what the run directory holds."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(Distil, description=__doc__)
    check(config)
    settle_in(config.run_dir)
    with holding(config.run_dir, fresh=config.fresh):
        run(config)


def run(config: Distil) -> dict[str, Any]:
    """Everything the module says; returns {"teacher": ..., "student": ...}."""
    begin = time.monotonic()
    first, params = search.read_run(config.teachers[0])
    task = retrieval_of(first, config.teachers[0])
    teacher = measured(task, first, params)
    whole = train_config(config, first, task)
    say(f"{config.run_dir}: {config.steps} steps")
    train(whole, config.run_dir / "taught", fresh=config.fresh)
    _, learnt = checkpoint.load_params(config.run_dir / "taught")
    results = {"teacher": teacher, "student": measured(task, whole, learnt)}
    if is_first():
        publish(config, results, seconds=time.monotonic() - begin)
    return results


def train_config(
    config: Distil, first: TrainConfig, task: MomentRetrieval
) -> TrainConfig:
    """The student's run: the first teacher's, but for who teaches it.

    Raises UserError for teachers that read other tokens than the student.
    """
    models = [search.read_config(path).model for path in config.teachers]
    tokenizer = task.source.load_tokenizer().fingerprint
    for path in config.teachers[1:]:
        other = retrieval_of(search.read_config(path), path).source.load_tokenizer()
        if other.fingerprint != tokenizer:
            raise errors.UserError(
                f"--teachers: {path} has another tokenizer than {config.teachers[0]}; "
                "name runs that read the same tokens"
            )
    changes = {
        "objective": Distillation(config.temperature, config.alpha),
        "languages": (),
        "switch_rate": 0.0,
    }
    taught = TaughtRetrieval(
        **{**fields_of(task), **changes},
        teachers=tuple(models),
        teacher_language=config.language,
    )
    return TrainConfig(
        tasks={"moments": taught},
        model=first.model,
        steps=config.steps,
        seed=config.seed,
        encoders={
            f"heads_moments/teacher_{number}": path.absolute()
            for number, path in enumerate(config.teachers)
        },
        optimizer=OptimizerConfig(
            learning_rate=config.learning_rate,
            warmup_steps=max(1, config.steps // 10),
        ),
        mesh=config.mesh,
        log_every=20,
        save_every=200,
    )


def publish(config: Distil, results: Mapping[str, Any], *, seconds: float) -> None:
    """Prints teacher and student side by side and writes results.json."""
    for pair, value in results["teacher"]["VR MRR"].items():
        student = results["student"]["VR MRR"][pair]
        print(f"VR MRR {pair:10} teacher {value:.3f}   student {student:.3f}")
    facts = {"teachers": list(map(str, config.teachers)), "seed": config.seed}
    facts |= {"alpha": config.alpha, "steps": config.steps}
    meta = describe("experiments.crosslingual.distil", seconds, **facts)
    write_results(config.run_dir, results, meta)


def check(config: Distil) -> None:
    """Refuses what cannot work before anything is read."""
    if not config.teachers:
        raise errors.UserError("--teachers: found none, expected the folder of a run")
    if config.steps < 1:
        raise errors.UserError(f"--steps: found {config.steps}, expected 1 or more")
    if config.temperature <= 0:
        raise errors.UserError(
            f"--temperature: found {config.temperature}, expected more than 0"
        )
    if config.alpha < 0:
        raise errors.UserError(f"--alpha: found {config.alpha}, expected 0 or more")


if __name__ == "__main__":
    errors.run_main(main)
