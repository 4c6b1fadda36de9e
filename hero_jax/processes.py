"""Several processes as one run: they start together, and none outlives another."""

import dataclasses
import faulthandler
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any

import jax
from jax._src import distributed  # barriers with a timeout have no public name
from jax.experimental import multihost_utils

from hero_jax.errors import BUSY, UserError

FAILED = 70
"""Exit code of every process once one of them raised."""

STOPPED = 143
"""Exit code after SIGTERM: everything is saved, the same command resumes."""

LONGEST_WAIT_MS = 24 * 3600 * 1000


@dataclasses.dataclass(frozen=True)
class ProcessConfig:
    """Who takes part in the run."""

    count: int = 1
    """Processes; 0 asks Slurm, Kubernetes or the TPU slice for all three fields."""
    index: int = 0
    """This process, from 0."""
    coordinator: str = ""
    """host:port of process 0, on a private network: the port asks for no password."""


def from_environment(environment: Mapping[str, str] = os.environ) -> ProcessConfig:
    """What the launchers of `experiments/cluster` say; one process without them."""
    if "HERO_NUM_PROCESSES" not in environment:
        return ProcessConfig()
    missing = {"HERO_PROCESS_ID", "HERO_COORDINATOR"} - environment.keys()
    if missing:
        raise UserError(
            f"environment: HERO_NUM_PROCESSES without {' and '.join(sorted(missing))}; "
            "set all three, or use a launcher of experiments/cluster"
        )
    count, index = (
        _number(name, environment[name])
        for name in ("HERO_NUM_PROCESSES", "HERO_PROCESS_ID")
    )
    if index >= count:
        raise UserError(
            f"environment: HERO_PROCESS_ID: found {index}, expected less than "
            f"HERO_NUM_PROCESSES {count}; number the processes from 0"
        )
    return ProcessConfig(count, index, environment["HERO_COORDINATOR"])


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"environment: {name}: found {text!r}, expected a whole number")
    return int(text)


def start(config: ProcessConfig) -> None:
    """Joins the run; call it before anything else touches JAX."""
    if config.count == 1:
        return
    named: dict[str, Any] = {}
    if config.count:
        named = {"num_processes": config.count, "process_id": config.index}
    if config.coordinator:
        named["coordinator_address"] = config.coordinator
        if config.index == 0:
            named["coordinator_bind_address"] = config.coordinator
    jax.distributed.initialize(
        heartbeat_timeout_seconds=30,
        shutdown_timeout_seconds=30,
        initialization_timeout=120,
        **named,
    )
    sys.excepthook = _leave_at_once


def _leave_at_once(kind: type, error: BaseException, trace: Any) -> None:
    """The orderly exit waits for the others, and they wait for this one."""
    traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    os._exit(FAILED)


class Preemption:
    """Whether the run was asked to stop (SIGTERM), known to all processes at a step.

    A single process has its own handler. Among several, JAX's service carries the
    signal from any one to all; a handler of ours would switch that off for good.
    """

    def __init__(self) -> None:
        self._is_asked = False
        self._is_alone = not jax.distributed.is_initialized()

    def __enter__(self) -> "Preemption":
        if self._is_alone and _is_main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_) -> None:
        if self._is_alone and _is_main_thread():
            signal.signal(signal.SIGTERM, self._previous)

    def is_asked(self, step: int) -> bool:
        """The same answer in every process; call it at every step."""
        if self._is_alone:
            return self._is_asked
        return multihost_utils.reached_preemption_sync_point(step)

    def _ask(self, number: int, frame: Any) -> None:
        self._is_asked = True


class Watchdog:
    """Ends a process whose training stands still, so that the others need not wait."""

    def __init__(self, seconds: float):
        self._seconds, self._last = seconds, time.monotonic()
        self._is_done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def beat(self) -> None:
        """Something moved."""
        self._last = time.monotonic()

    def close(self) -> None:
        self._is_done.set()

    def _watch(self) -> None:
        while not self._is_done.wait(min(10.0, self._seconds / 4)):
            if time.monotonic() - self._last > self._seconds:
                print(f"error: no step for {self._seconds:g} s", file=sys.stderr)
                faulthandler.dump_traceback()
                sys.stderr.flush()
                os._exit(BUSY)


def wait_for_all() -> None:
    """Every process waits for the others, however long one is busy alone.

    A collective gives up on a late process after 30 s (Gloo), and so does the exit.
    Here only death ends the wait: a peer without heartbeat brings all down.
    """
    if client := distributed.global_state.client:
        client.wait_at_barrier("wait_for_all", timeout_in_ms=LONGEST_WAIT_MS)


def all_have(value: float) -> float:
    """Process 0's value, in every process."""
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.broadcast_one_to_all(jax.numpy.float32(value)))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
