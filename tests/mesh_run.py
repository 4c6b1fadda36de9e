"""Twenty steps of moment retrieval on some mesh, alone or among several processes.

python -m tests.mesh_run RUN_DIR --data 8 --count 2 --index 0 --port 12345
"""

import argparse
import dataclasses
import functools
from pathlib import Path

from hero_jax import processes
from hero_jax.errors import run_main
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.optimizer import OptimizerConfig
from hero_jax.processes import ProcessConfig
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.train import TrainConfig, train
from tests.corpora import MemorySource

SOURCE = MemorySource(
    num_videos=24, num_lines=4.0, line_tokens=5.0, max_frames=24, row_length=32
)


def config(data: int, model: int, **changes) -> TrainConfig:
    """A small HERO with dropout. Sizes differ, and the mesh divides what it should."""
    tower = TransformerConfig(
        width=24, num_heads=2, num_layers=1, mlp_width=40, dropout=0.1
    )
    base = TrainConfig(
        tasks={
            "vsm": MomentRetrieval(
                source=SOURCE,
                batch_size=8,
                num_subtitle_queries=2,
                num_annotated_queries=1,
                span_rate=0.5,
            )
        },
        model=HeroConfig(
            vocab_size=304,
            feature_width=6,
            cross_modal=tower,
            temporal=tower,
            query_heads=2,
        ),
        steps=20,
        optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=5),
        mesh=MeshConfig(data, model),
        log_every=1,
        save_every=10,
    )
    return dataclasses.replace(base, **changes)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    for name in ("data", "model", "count"):
        parser.add_argument(f"--{name}", type=int, default=1)
    for name in ("index", "port"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--fail_at", type=int, default=0)
    args = parser.parse_args()
    coordinator = f"127.0.0.1:{args.port}"
    processes.start(ProcessConfig(args.count, args.index, coordinator))
    wanted = config(args.data, args.model, steps=args.steps)
    on_log = functools.partial(fail, args.fail_at)
    run_main(lambda: train(wanted, args.run_dir, on_log=on_log))


def fail(at, step, values):
    if step == at:
        raise RuntimeError(f"asked to fail at step {at}")


if __name__ == "__main__":
    main()
