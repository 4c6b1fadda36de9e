"""Kills a toy run again and again, and says what it ends with.

    python -m tests.chaos RUN_DIR --after_save 10 --during_save 3 --seed 0

Imports once and forks a child for every start, since a start is then a second and not
five. Prints one JSON object: kills by kind, and the digest of the finished run over
parameters, optimizer, step, rng and the batch that would come next.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from hero_jax import integrity
from hero_jax import train as training
from tests import toy

STEPS = 60
POLL_SECONDS = 0.002


def config():
    return toy.config(steps=STEPS, save_every=2, keep=3)


def finish(run_dir: Path, result: Path, *, is_data_forgotten: bool) -> None:
    """The child: trains to the end and writes the digest."""
    draw = training.draw_batches
    if is_data_forgotten:
        training.draw_batches = lambda c, p, mesh, start: draw(c, p, mesh, 0)
    slow = lambda step, values: time.sleep(0.01)
    state = training.train(config(), run_dir, on_log=slow)
    run = training.make_pipelines(config())
    mesh = training.sharding.make_mesh(config().mesh)
    task, batch = next(draw(config(), run, mesh, int(state.step)))
    whole = training.items(state) | {"next": {task: batch}}
    result.write_text(json.dumps(integrity.describe(whole), sort_keys=True))


def start(run_dir: Path, result: Path, **options) -> int:
    """Forks a child in its own process group."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    code = 1
    try:
        finish(run_dir, result, **options)
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def committed(run_dir: Path) -> set[str]:
    return {p.name for p in (run_dir / "checkpoints").glob("*") if p.name.isdigit()}


def unfinished(run_dir: Path) -> list[Path]:
    return list((run_dir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


def kill_once(run_dir: Path, result: Path, kind: str, rng: random.Random) -> bool:
    """Starts the run and kills it at the asked moment; False if it came too late."""
    before = committed(run_dir)
    child = start(run_dir, result, is_data_forgotten=False)
    has_new = lambda: committed(run_dir) - before
    is_time = {
        "after_save": has_new,
        "during_save": lambda: has_new() and unfinished(run_dir),
    }[kind]
    while not is_time():
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(POLL_SECONDS)
    if kind == "after_save":
        time.sleep(rng.uniform(0, 0.06))
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if kind == "during_save":
        return bool(unfinished(run_dir))
    return not result.exists()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--after_save", type=int, default=0)
    parser.add_argument("--during_save", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--forget_data", action="store_true")
    args = parser.parse_args()
    args.run_dir.mkdir(parents=True, exist_ok=True)
    result, rng = args.run_dir / "result.json", random.Random(args.seed)
    kills = {"after_save": 0, "during_save": 0}
    for kind in kills:
        while kills[kind] < getattr(args, kind) and not result.exists():
            kills[kind] += kill_once(args.run_dir, result, kind, rng)
    if not result.exists():
        child = start(args.run_dir, result, is_data_forgotten=args.forget_data)
        os.waitpid(child, 0)
    digest = json.loads(result.read_text())
    print(json.dumps({"kills": kills, "digest": digest}))


if __name__ == "__main__":
    main()
