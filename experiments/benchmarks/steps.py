"""What a step of a run costs: preparing its batch, computing it, and fresh memory.

    python -m experiments.benchmarks.steps runs/quickstart/vsm

Takes the configuration of a run and measures, for each of its tasks, milliseconds to
prepare a batch and to compute a step, and the page faults of a step. Steps are measured
in turns with memory that goes back to the system when freed, as glibc does by itself,
and with memory that is kept (`experiments.common.keep_memory`), each in its own
process.
Printed are the median of all steps and of the ratios between neighbouring turns.
"""

import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

from experiments.common import compile_quickly, keep_memory
from hero_jax import command_line, errors, sharding
from hero_jax.learner import Learner, TrainState
from hero_jax.search import read_config
from hero_jax.train import make_learner, make_pipelines
from hero_jax.types import PyTree

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Steps:
    """Which run, and how often."""

    run: tyro.conf.Positional[Path]
    """Directory of a training run, with its config.json and its data."""
    turns: int = 3
    """Processes of each kind, one after another."""
    steps: int = 20
    """Steps of each task in each process."""
    kind: str | None = None
    """Measure one kind in this process and print it as JSON: kept or returned."""


def main() -> None:
    """The command line."""
    config = command_line.parse(Steps, description=__doc__)
    if config.kind:
        print(json.dumps(measure(config)))
        return
    turns = [
        {kind: turn(config, kind) for kind in ("returned", "kept")}
        for _ in range(config.turns)
    ]
    for task in turns[0]["kept"]:
        print(line(task, [{kind: t[kind][task] for kind in t} for t in turns]))


def turn(config: Steps, kind: str) -> dict[str, Row]:
    """One process: the numbers of each task."""
    command = [sys.executable, "-m", "experiments.benchmarks.steps", str(config.run)]
    options = ["--kind", kind, "--steps", str(config.steps)]
    done = subprocess.run(command + options, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def measure(config: Steps) -> dict[str, Row]:
    """Task -> milliseconds to prepare a batch and to compute a step, and its faults."""
    compile_quickly(config.run.parent)
    if config.kind == "kept":
        keep_memory()
    whole = read_config(config.run)
    pipelines = make_pipelines(whole)
    learner = make_learner(whole, pipelines)
    state, rows = learner.initial_state(), {}
    for task, pipeline in pipelines.items():
        begin = time.perf_counter()
        batches = [pipeline.batch(100 + number) for number in range(config.steps)]
        prepare = 1e3 * (time.perf_counter() - begin) / config.steps
        state, _, _ = step(learner, state, batches[0], task)  # compiles
        spent, faults = [], []
        for batch in batches:
            state, seconds, num_faults = step(learner, state, batch, task)
            spent.append(1e3 * seconds)
            faults.append(num_faults)
        median = statistics.median
        rows[task] = {
            "prepare": prepare,
            "step": median(spent),
            "faults": median(faults),
        }
    return rows


def step(
    learner: Learner, state: TrainState, batch: PyTree, task: str
) -> tuple[TrainState, float, int]:
    """One update; also its seconds and page faults."""
    micro = jax.tree.map(lambda leaf: np.stack([leaf]), batch)
    placed = sharding.put_batch(micro, learner.mesh, num_leading=1)
    before, begin = page_faults(), time.perf_counter()
    state, _ = jax.block_until_ready(learner.step(state, placed, task=task))
    return state, time.perf_counter() - begin, page_faults() - before


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def line(task: str, turns: list[dict[str, Row]]) -> str:
    """What is printed of a task."""
    median = lambda kind, key: statistics.median(t[kind][key] for t in turns)
    ratios = sorted(t["kept"]["step"] / t["returned"]["step"] for t in turns)
    return (
        f"{task:10} prepare {median('kept', 'prepare'):6.1f} ms   step, memory returned"
        f" {median('returned', 'step'):6.1f} ms, kept {median('kept', 'step'):6.1f} ms"
        f"   ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        f"   page faults {median('returned', 'faults'):.0f},"
        f" {median('kept', 'faults'):.0f}"
    )


if __name__ == "__main__":
    errors.run_main(main)
