"""Saves a run so that it survives kills, full disks and damaged files.

One commit holds everything: parameters, the rest of the training state, and a record
with the format version, the configuration, what the data stream depends on, and the
digest of every leaf.

    checkpoints/<step>/{params,training,record}     quarantine/<step>-<time>
"""

import fcntl
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from hero_jax import adapters, integrity, late_reads
from hero_jax.errors import BusyError, UserError
from hero_jax.paths import named_leaves, nested
from hero_jax.types import PyTree

FORMAT = 1
"""Version of the directory's contents; another one is refused by name."""

MAX_FAILURES = 3
"""Saves that may fail in a row before the run stops."""

SPACE_MARGIN = 16 * 2**20
"""Bytes that must be free beyond 1.1 times the state."""

Items = Mapping[str, PyTree]
"""`params` and `training`: what a checkpoint holds, in separately readable parts."""


class Damaged(Exception):
    """A checkpoint is not what was saved."""


class RunLock:
    """Holds a run directory for one process; the lock dies with its holder."""

    def __init__(self, run_dir: Path):
        self._path = run_dir / ".lock"

    def __enter__(self) -> "RunLock":
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise BusyError(
                f"{self._path.parent}: {holder} is at work here; wait for it, "
                f"stop it, or choose another run directory"
            ) from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()
        return self

    def __exit__(self, *_) -> None:
        self._file.close()


class Checkpoints:
    """The checkpoints of one run. The caller holds the run's lock."""

    def __init__(self, run_dir: Path, *, keep: int):
        self._run_dir = run_dir.absolute()
        self._directory = self._run_dir / "checkpoints"
        self._num_failures = 0
        if jax.process_index() == 0:
            self._directory.mkdir(exist_ok=True)
            self._sweep()
        _meet("checkpoints swept")
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._sync),
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        # To finish a save takes all processes, and the others will not come.
        is_failing_alone = kind is not None and not issubclass(kind, SystemExit)
        if not (is_failing_alone and jax.process_count() > 1):
            self.close()

    def steps(self) -> list[int]:
        """Steps with a committed checkpoint, oldest first."""
        self._manager.reload()
        return sorted(self._manager.all_steps())

    def save(self, step: int, items: Items, *, config: Any, data: Mapping) -> bool:
        """Starts to save; the previous save is finished first. False if it failed."""
        self.wait()
        try:
            self._save(step, items, config, data)
        except OSError as error:
            self._failed(step, error)
            return False
        return True

    def wait(self) -> None:
        """Returns once nothing is being saved any more."""
        try:
            self._manager.wait_until_finished()
        except (OSError, ValueError) as error:  # tensorstore: RESOURCE_EXHAUSTED
            self._manager.reload()
            self._failed("before", error)

    def finish(self, step: int) -> None:
        """Returns once `step` is committed; an error if it cannot be."""
        self.wait()
        if step not in self.steps():
            raise BusyError(f"{self._directory}: step {step} could not be saved")

    def close(self) -> None:
        """Finishes what is being saved; without it that checkpoint would be lost."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def restore(self, abstract: Items, *, data: Mapping) -> tuple[int, Items] | None:
        """The newest undamaged checkpoint, placed as `abstract` says; None if none is.

        Raises UserError, in one line, where the run asks for something other than
        what was saved: other data, another model.
        """
        for step in reversed(self.steps()):
            try:
                record = read_record(self._directory, step)
                check_same(f"{self._run_dir}: step {step}", record["data"], data)
                check_leaves(record["leaves"], abstract)
                return step, self._read(step, abstract, record)
            except Damaged as damage:
                self._set_aside(step, damage)
        return None

    def _save(self, step: int, items: Items, config: Any, data: Mapping) -> None:
        check_space(self._directory, items)
        record = {
            "format": FORMAT,
            "step": step,
            "config": config,
            "data": dict(data),
            "leaves": integrity.describe(items),
        }
        parts = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        sealed = ocp.args.JsonSave(integrity.seal(record))
        args = ocp.args.Composite(record=sealed, **parts)
        if not self._manager.save(step, args=args):
            raise RuntimeError(f"{self._directory}: step {step} was not saved")

    def _failed(self, step: int | str, error: Exception) -> None:
        """Says so once, tidies up, and lets the next save try again, a few times."""
        self._num_failures += 1
        free = shutil.disk_usage(self._directory).free
        message = (
            f"{self._directory}: saving step {step} failed with {free:,} bytes free: "
            f"{str(error).splitlines()[0][:200]}"
        )
        if self._num_failures >= MAX_FAILURES:
            raise BusyError(f"{message}; gave up after {MAX_FAILURES} failures")
        logging.warning("%s; trying again at the next save", message)
        if jax.process_index() == 0:
            self._sweep()

    def _read(self, step: int, abstract: Items, record: Mapping) -> Items:
        parts = {name: ocp.args.StandardRestore(t) for name, t in abstract.items()}
        try:
            with late_reads.forgotten():
                restored = self._manager.restore(step, args=ocp.args.Composite(**parts))
            items = {name: restored[name] for name in abstract}
            damage = differing_leaf(integrity.describe(items), record["leaves"])
        except (
            Exception
        ) as error:  # damage shows as any type, from KeyError to ValueError
            items, damage = {}, f"{type(error).__name__} while reading"
        if not _all_agree(damage is None):
            raise Damaged(damage or "damaged for another process")
        return items

    def _set_aside(self, step: int, damage: Damaged) -> None:
        target = self._run_dir / "quarantine" / f"{step}-{time.time_ns()}"
        logging.warning(
            "%s: step %d is damaged (%s); it is kept in %s and an older one is used",
            *(self._run_dir, step, damage, target),
        )
        if jax.process_index() == 0:
            target.parent.mkdir(exist_ok=True)
            (self._directory / str(step)).rename(target)
        _meet(f"step {step} set aside")
        self._manager.reload()  # or it would refuse, silently, to save this step again

    def _sweep(self) -> None:
        """Removes what a kill left of unfinished saves."""
        for leftover in self._directory.glob("*.orbax-checkpoint-tmp*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _sync(self) -> None:
        """Puts the newest commit on the disk: Orbax leaves names and JSON in memory."""
        steps = [int(p.name) for p in self._directory.iterdir() if p.name.isdigit()]
        newest = self._directory / str(max(steps, default=0))
        for path in [*newest.rglob("*"), newest, self._directory]:
            if path.exists():
                descriptor = os.open(path, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
        self._num_failures = 0


def load_params(
    run_dir: Path, step: int | None = None, *, data: Mapping | None = None
) -> tuple[int, PyTree]:
    """Step and the model's parameters of the newest undamaged checkpoint, or of `step`.

    Needs neither the model nor the data, takes no lock and changes nothing. Where
    `data` is given, the run must have been trained on it: UserError names the field.
    """
    directory = run_dir.absolute() / "checkpoints"
    found = [int(p.name) for p in directory.glob("*") if p.name.isdigit()]
    for candidate in sorted(found, reverse=True) if step is None else [step]:
        try:
            record = read_record(directory, candidate)
            params = _read_params(directory, candidate, record["leaves"])
        except Damaged as damage:
            logging.warning("%s: step %d is damaged: %s", run_dir, candidate, damage)
            continue
        trained = {f: v for f, v in record["data"].items() if f in (data or {})}
        wanted = {f: data[f] for f in trained} if data else {}
        check_same(f"{run_dir}: step {candidate}", trained, wanted)
        return candidate, adapters.folded(params)
    missing = "checkpoint" if step is None else f"checkpoint of step {step}"
    raise UserError(
        f"{run_dir}: there is no undamaged {missing} among {sorted(found)}; "
        f"train this run first, or name another directory"
    )


def _read_params(directory: Path, step: int, saved: integrity.Leaves) -> PyTree:
    leaves = {
        name.removeprefix("params/"): leaf
        for name, leaf in saved.items()
        if name.startswith("params/")
    }
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    abstract = {
        name: jax.ShapeDtypeStruct(leaf["shape"], leaf["dtype"], sharding=place)
        for name, leaf in leaves.items()
    }
    try:
        with (
            late_reads.forgotten(),
            ocp.StandardCheckpointer(multiprocessing_options=_alone()) as reader,
        ):
            params = reader.restore(directory / str(step) / "params", nested(abstract))
    except Exception as error:
        raise Damaged(f"{type(error).__name__} while reading") from error
    if damage := differing_leaf(integrity.describe(params), leaves):
        raise Damaged(damage)
    return params


def _alone() -> Any:
    """Orbax reads in all processes at once unless told that this one reads alone."""
    index = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=index,
        active_processes={index},
        barrier_sync_key_prefix=f"process{index}",
    )


def read_record(directory: Path, step: int) -> dict[str, Any]:
    """The record of a checkpoint, after a check that it is whole."""
    path = directory / str(step) / "record" / "metadata"
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise Damaged(f"the record cannot be read: {type(error).__name__}") from None
    if not isinstance(record, dict) or not integrity.is_sealed(record):
        raise Damaged("the record has changed since it was written")
    if record["step"] != step:
        raise Damaged(f"it holds what was saved at step {record['step']}")
    if record["format"] != FORMAT:
        raise UserError(
            f"{directory}: step {step} has format {record['format']}, this program "
            f"reads {FORMAT}; use the version that wrote it, or a new run directory"
        )
    return record


def check_same(place: str, saved: Mapping, wanted: Mapping) -> None:
    """Refuses to go on with other data than the run began with (one line)."""
    for field in [*saved, *(f for f in wanted if f not in saved)]:
        old, new = saved.get(field, "absent"), wanted.get(field, "absent")
        if old != new:
            raise UserError(
                f"{place}: {field}: this run began with {old!r}, found {new!r}; "
                f"restore the old value, or start in a new run directory"
            )


def check_leaves(saved: integrity.Leaves, abstract: Items) -> None:
    """Names the first leaf whose presence, shape or dtype differs (one line)."""
    wanted = named_leaves(abstract)
    for name in sorted(saved.keys() ^ wanted.keys()):
        which = "the checkpoint" if name in saved else "this model"
        raise UserError(f"{name}: only {which} has it; use the configuration it is of")
    for name, leaf in wanted.items():
        old = saved[name]["dtype"], tuple(saved[name]["shape"])
        new = str(leaf.dtype), tuple(leaf.shape)
        if old != new:
            raise UserError(
                f"{name}: the checkpoint has {old[0]}{list(old[1])}, this model "
                f"{new[0]}{list(new[1])}; use the configuration it was saved with"
            )


def differing_leaf(found: integrity.Leaves, saved: integrity.Leaves) -> str | None:
    """Which leaf is not what was saved; None if all are."""
    for name, leaf in found.items():
        if leaf != saved[name]:
            return f"{name} has changed since it was written"
    return None


def check_writable(run_dir: Path) -> None:
    """Writes, syncs and removes a small file: better now than after the first hour."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        probe = run_dir / f".probe-{os.getpid()}"
        with probe.open("w") as file:
            file.write("writable?")
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{run_dir}: cannot be written ({error.strerror}); choose another run_dir"
        ) from None


def check_space(directory: Path, items: Items) -> None:
    """There must be room for one more checkpoint."""
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(items))
    needed = int(1.1 * size) + SPACE_MARGIN
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise OSError(f"needs {needed:,} bytes; delete something or move the run")


def _meet(name: str) -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _all_agree(is_good: bool) -> bool:
    """Whether all processes found their part good."""
    if jax.process_count() == 1:
        return is_good
    return bool(multihost_utils.process_allgather(jax.numpy.array(is_good)).all())
