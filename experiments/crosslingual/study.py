"""Does VSM help across languages? The whole grid of `grid.py`, cell by cell.

    python -m experiments.crosslingual.study --preset full --out docs/study \
        --mtvr_loo DIR --youcook2_loo DIR

Trains and measures every cell that `OUT/cells` does not hold yet: first the tuning
cells, which choose a trial for each arm, then all others. Stopped and started again it
goes on; started several times with the same OUT, on one machine or on many that share
it, the processes divide the cells among them. The grid is written to `OUT/grid.json`
when it begins, and another grid is refused there.
"""

import contextlib
import dataclasses
import fcntl
import functools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.common import (
    Dtype,
    describe,
    is_first,
    say,
    settle_in,
)
from experiments.crosslingual import (
    controls,
    corpora,
    declared,
    diagnostics,
    planned,
    records,
)
from experiments.crosslingual.grid import (
    PRESETS,
    Cell,
    Grid,
    cells,
    tuning,
)
from hero_jax import checkpoint, command_line, errors, processes
from hero_jax import config as configs
from hero_jax.sharding import MeshConfig
from hero_jax.tasks.source import Source
from hero_jax.train import train

POLL_SECONDS = 2.0
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclasses.dataclass(frozen=True)
class Study:
    """The grid that answers the question, or a small one that shows how."""

    out: Path
    """Where grid.json and the finished cells go."""
    preset: Literal["small", "full", "accelerator", "check"] = "full"
    """How much of it: `full` is the study of the docs, `accelerator` a larger model on
    the whole of mTVR with real features, `small` an example, `check` a few steps of
    each kind of cell to see that a machine is set up."""
    mtvr_loo: Path | None = None
    """The mTVR release."""
    mtvr_split: Path | None = None
    """The mTVR release with its training annotations and its subtitles."""
    features: Path | None = None
    """Frame features: a folder of <video_id>.npz files for each corpus that has any,
    such as FEATURES/mtvr_split."""
    signal_to_noise: float = 1.0
    """Of the frames of mtvr_loo_synthetic; each value wants an --out of its own."""
    youcook2_loo: Path | None = None
    """The YouCook2 release with Japanese translations."""
    mtvr_tvc: Path | None = None
    """The mTVR release, with TVC's machine captions beside its files."""
    vatex_loo: Path | None = None
    """The VATEX captions in English and Chinese."""
    work: Path = Path("runs/study")
    """Datasets, compiled programs and unfinished runs."""
    workers: int = 1
    """Processes that divide the cells, the cores and CUDA_VISIBLE_DEVICES."""
    dtype: Dtype = "float32"
    """What layers compute in."""
    mesh: MeshConfig = MeshConfig()
    """Devices that share each cell: mesh.data splits batches, mesh.model parameters."""


def main() -> None:
    """The command line."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    config = command_line.parse(Study, description=__doc__)
    if config.workers < 1:
        raise errors.UserError(f"--workers: found {config.workers}, expected 1 or more")
    if config.workers > 1:
        spread(config)
        return
    processes.start(processes.from_environment())
    run(config, PRESETS[config.preset])
    processes.wait_for_all()


def spread(config: Study) -> None:
    """The same command several times, each on cores of its own."""
    call = [sys.executable, "-m", "experiments.crosslingual.study", *sys.argv[1:]]
    cores = sorted(os.sched_getaffinity(0))
    children = []
    for number in range(config.workers):
        own = cores[number :: config.workers] or cores
        env = os.environ | own_devices(number, config.workers)
        with _on_cores(own, cores):  # a child keeps the cores of its parent
            children.append(subprocess.Popen([*call, "--workers", "1"], env=env))
    end = functools.partial(_end, children)
    signal.signal(signal.SIGTERM, end)  # or they would go on without a parent
    codes = [child.wait() for child in children]
    sys.exit(next((code for code in codes if code), 0))


def _end(children: Sequence[subprocess.Popen], *_: Any) -> None:
    for child in children:
        child.terminate()


def own_devices(number: int, count: int) -> dict[str, str]:
    """The part of CUDA_VISIBLE_DEVICES, if it names several, that one worker sees."""
    named = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return {VISIBLE: ",".join(named[number::count])} if len(named) >= count else {}


@contextlib.contextmanager
def _on_cores(own: Sequence[int], all_cores: Sequence[int]) -> Iterator[None]:
    os.sched_setaffinity(0, own)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def run(config: Study, grid: Grid) -> Mapping[str, int]:
    """All cells of the grid; returns the trial that was chosen for each arm."""
    settle_in(config.work)
    check(config)
    if is_first():
        declared.declare(config.out / declared.FILE, grid)
    processes.wait_for_all()
    first = tuning(grid)
    has_data = lambda c: c.corpus == "microtv" or _raw(config, c.corpus) is not None
    is_left = lambda cell: not _path(config, cell).exists()
    any_trial = cells(grid, dict.fromkeys(grid.arms, 0))
    finish(config, grid, first, later=sum(map(has_data, any_trial)))
    chosen = declared.choose([records.read(_path(config, cell)) for cell in first])
    say("chosen trials: " + ", ".join(f"{arm} {n}" for arm, n in chosen.items()))
    rest = cells(grid, chosen)
    for corpus in sorted({cell.corpus for cell in rest if has_data(cell)}):
        if is_first():
            compare(config, corpus)
    processes.wait_for_all()
    able = [cell for cell in rest if has_data(cell)]
    finish(config, grid, able, before=len(first))
    left = Counter(cell.corpus for cell in rest if is_left(cell))
    for corpus, count in sorted(left.items()):
        option = f"--{corpora.release_of(corpus)}"
        say(f"{corpus}: {count} cells left; give {option} and start again")
    return chosen


def check(config: Study) -> None:
    """Raises UserError for what was given and is not there, and for finished cells that
    cannot be right, before the first cell."""
    for name in dict.fromkeys(map(corpora.release_of, corpora.CORPORA)):
        folder = getattr(config, name, None)
        if folder is not None and not folder.is_dir():
            raise errors.UserError(
                f"--{name}: found no folder {folder}, expected that of the raw release"
            )
    for _ in records.read_all(config.out / "cells"):
        pass
    if config.features is not None:
        names = corpora.check_features(config.features)
        say(f"frames are given for {', '.join(names)}")


def compare(config: Study, corpus: str) -> None:
    """Ranks the corpus without a model, unless that is done."""
    path = config.out / "controls" / f"{corpus}{records.SUFFIX}"
    source = source_of(config, corpus) if not path.exists() else None
    with alone(config, corpus):
        if source is not None and not path.exists():
            train, test = (source.open(split).corpus for split in ("train", "test"))
            controls.write(path, corpus, train, test, max_frames=source.max_frames)


def finish(
    config: Study,
    grid: Grid,
    wanted: Sequence[Cell],
    *,
    before: int = 0,
    later: int = 0,
) -> None:
    """Returns when every cell is there, whoever made it; so many came before, and so
    many will come later."""
    begin, num_made = time.monotonic(), 0
    is_there = lambda cell: agreed(_path(config, cell).exists())
    while pending := [cell for cell in wanted if not is_there(cell)]:
        num_known = num_made
        for cell in pending:
            if make(config, grid, cell):
                num_made += 1
                seconds = (time.monotonic() - begin) / num_made
                left = later + sum(not _path(config, c).exists() for c in wanted)
                total = before + len(wanted) + later
                say(line(config, cell, left, total, left * seconds / 60))
        if num_made == num_known:  # others are at work on all of them
            time.sleep(POLL_SECONDS)


def make(config: Study, grid: Grid, cell: Cell) -> bool:
    """Makes a cell, unless it is there or another process makes it."""
    with contextlib.ExitStack() as stack:
        lock = config.work / "claims" / f"{cell.name}.lock"
        is_mine = stack.enter_context(claimed(lock)) if is_first() else False
        if not agreed(is_mine and not _path(config, cell).exists()):
            return False
        record = run_cell(config, grid, cell)
        if record is not None:
            records.write(_path(config, cell), record)
            shutil.rmtree(config.work / cell.name)
        processes.wait_for_all()
    return True


def agreed(value: bool) -> bool:
    """What the first process found, in every process of a cell."""
    return bool(processes.all_have(float(value)))


def line(config: Study, cell: Cell, left: int, total: int, minutes: float) -> str:
    """What is said of a cell when it is finished; `left` of `total` cells are not."""
    record = records.read(_path(config, cell))
    across = records.reciprocal_rank(record, is_cross=True)
    within = records.reciprocal_rank(record, is_cross=False)
    return (
        f"[{total - left}/{total}] {cell.family} {cell.corpus} {cell.arm} "
        f"trial {cell.trial} seed {cell.seed}: VR MRR {across:.3f} across, "
        f"{within:.3f} within languages; {minutes:.0f} min left for one process"
    )


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process alone may make a cell; the claim ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def run_cell(config: Study, grid: Grid, cell: Cell) -> dict[str, Any] | None:
    """Trains, searches, and returns the record; None where others do the rest."""
    begin = time.monotonic()
    source = source_of(config, cell.corpus)
    model = dataclasses.replace(planned.model(grid, cell, source), dtype=config.dtype)
    whole = planned.train_config(grid, cell, source, model)
    whole = dataclasses.replace(whole, mesh=config.mesh)
    run_dir = config.work / cell.name
    train(whole, run_dir)
    if not is_first():
        return None
    _, params = checkpoint.load_params(run_dir)
    task = planned.retrieval(grid, cell, source)
    matrix = task.language_matrix(whole.model, params, cell.split)
    known = matrix.ask(matrix.examples.languages[0])
    return {
        "cell": dataclasses.asdict(cell) | {"languages": list(cell.languages)},
        "config": configs.to_json(whole, folder=config.work.absolute()),
        "meta": describe(
            "experiments.crosslingual.study", time.monotonic() - begin, name=cell.name
        ),
        "curve": curve(run_dir / "metrics.jsonl"),
        "visual": corpora.visual_of(
            cell.corpus, matrix.examples.corpus, config.signal_to_noise
        ),
        "data": source.fingerprint(cell.split),
        "videos": known.videos.tolist(),
        "kinds": [query.kind for query in known.queries[: known.num_linked]],
        "ranks": records.as_lists(matrix.ranks()),
        "diagnostics": diagnostics.diagnose(matrix),
    }


@functools.cache
def source_of(config: Study, corpus: str) -> Source:
    """The corpus, made by one process at a time."""
    raw = _raw(config, corpus)
    with alone(config, corpus):
        return corpora.prepare(
            corpus, raw, config.work, config.features, config.signal_to_noise
        )


@contextlib.contextmanager
def alone(config: Study, name: str) -> Iterator[None]:
    """One process at a time; the others wait."""
    path = config.work / "claims" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def curve(path: Path) -> list[dict[str, float]]:
    """Step, loss, gradient norm and terms of the log, and VR MRR where validated."""
    is_kept = lambda name: not name.startswith("val/") or name.endswith("VR/MRR")
    rows = [json.loads(row) for row in path.read_text("utf-8").splitlines()]
    return [{k: v for k, v in row.items() if is_kept(k)} for row in rows]


def _path(config: Study, cell: Cell) -> Path:
    return records.path_of(config.out / "cells", cell.name)


def _raw(config: Study, corpus: str) -> Path | None:
    folder = getattr(config, corpora.release_of(corpus), None)
    return None if folder is None else Path(folder)


if __name__ == "__main__":
    errors.run_main(main)
