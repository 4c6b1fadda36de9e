"""One of the official tasks on a small model that learns from nothing in minutes.

python -m tests.experiments.pretrain_miniature RUN_DIR DATA_DIR TASK STEPS
"""

import dataclasses
import sys
from pathlib import Path

from experiments.common import settle_in, small_model
from experiments.pretrain_tv import (
    PretrainTv,
    prepare,
    publish,
    train_config,
    validated,
)
from hero_jax.train import train


def main(run_dir: Path, data_dir: Path, task: str, steps: int) -> None:
    """English alone: a line that is held out asks with words its video repeats."""
    config = PretrainTv(
        run_dir=run_dir,
        data_dir=data_dir,
        dataset="microtv",
        languages=("en",),
        reference_gpus=1,
        batch_size=8,
        accumulation=1,
        steps=steps,
        learning_rate=2e-3,
        warmup_steps=30,
        eval_every=steps,
    )
    settle_in(run_dir)
    source = prepare(config)
    model = small_model(source, width=64, layers=2)
    whole = train_config(config, source)
    tasks = {task: whole.tasks[task]}
    whole = dataclasses.replace(whole, tasks=tasks, model=model)
    train(whole, run_dir / "pretrain")
    publish(config, validated(whole, run_dir / "pretrain"), seconds=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
