"""Two streams: a model of frames and a model of subtitles answer together.

    python -m experiments.value --run_dir runs/frames --channels video ...
    python -m experiments.value --run_dir runs/subtitles --channels subtitles ...
    python -m experiments.two_streams --video runs/frames --subtitles runs/subtitles \
        --run_dir runs/two_streams

Scores are averaged (F.8, `hero_jax/tasks/two_streams.py`); nothing is trained. Any two
runs with tasks of equal names will do, also those of single tasks. `results.json` and
`submission.zip` are those of `experiments/value.py`.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from experiments.common import describe
from experiments.value_results import Part, pack, scores, table
from hero_jax import command_line, errors, search
from hero_jax.errors import UserError
from hero_jax.tasks.base import Task
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.two_streams import Stream, evaluate
from hero_jax.train import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoStreams:
    """Which runs, and on what."""

    video: Path
    """A run that reads frames alone."""
    subtitles: Path
    """A run that reads subtitles alone."""
    run_dir: Path
    """Where results and files to hand in go."""
    split: str = ""
    """The split to answer; by default each task's own validation split."""
    video_indices: dict[str, Path] = dataclasses.field(default_factory=dict)
    """Of retrieval tasks the release's <dataset>_video2dur_idx.json; by default the
    videos have the numbers that they had in the first run."""


def run(config: TwoStreams) -> dict[str, Any]:
    """Evaluates every task that both runs have: results[task][language][reading]."""
    begin = time.monotonic()
    runs = [search.find_run(path) for path in (config.video, config.subtitles)]
    (first, _), *_ = loaded = [search.read_run(run_dir) for run_dir in runs]
    names = [name for name in first.tasks if all(name in c.tasks for c, _ in loaded)]
    if not names:
        raise UserError(
            f"{config.video}, {config.subtitles}: have no task in common; combine runs "
            f"of the same tasks"
        )
    parts = [Part(name, *_asked(config, first, name)) for name in names]
    _check_numbers(config, parts)
    folder, results = config.run_dir / "predictions", {}
    for part in parts:
        streams = [Stream(c.tasks[part.name], c.model, p) for c, p in loaded]
        streams[0] = dataclasses.replace(streams[0], task=part.task)
        where = folder / part.name
        results[part.name] = evaluate(streams, part.split, predictions_dir=where)
    found = scores(results)
    print(*table(found, {part.name: part.split for part in parts}), sep="\n")
    pack(config.run_dir / "submission.zip", folder, parts)
    meta = describe("experiments.two_streams", time.monotonic() - begin)
    content = {"results": results, "scores": found, "meta": meta}
    write_whole(config.run_dir / "results.json", json.dumps(content, indent=1) + "\n")
    return results


def _asked(config: TwoStreams, first: TrainConfig, name: str) -> tuple[Task, str]:
    """A task of the first run with the numbers of its videos, and the split."""
    task, table = first.tasks[name], config.video_indices.get(name)
    if table is not None and isinstance(task, MomentRetrieval):
        task = dataclasses.replace(task, video_indices=table)
    return task, config.split or first.eval_splits.get(name, first.eval_split)


def _check_numbers(config: TwoStreams, parts: Sequence[Part]) -> None:
    """Refuses tables of no task, and tables that lack a video, before the search."""
    retrieving = [p for p in parts if isinstance(p.task, MomentRetrieval)]
    for name in config.video_indices:
        if name not in (known := [part.name for part in retrieving]):
            there = ", ".join(known) or "none"
            raise UserError(
                f"--video_indices: {name} is not a retrieval task of both runs, which "
                f"have {there}"
            )
    for part in retrieving:
        part.task.video_numbers(part.split)


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    errors.run_main(lambda: run(command_line.parse(TwoStreams, description=__doc__)))


if __name__ == "__main__":
    main()
