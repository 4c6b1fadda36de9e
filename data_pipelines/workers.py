"""Work spread over processes, which end with their parent and without a word."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from data_pipelines.readers.errors import BusyError

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int
) -> Iterator[Result]:
    """`work` of every item, in order; in this process where one worker is enough."""
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(work, items)
        return
    # Spawned, not forked: the caller may have started threads (JAX does).
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=begin)
    try:
        with _interrupts_wait(), _without_main(work):
            results = pool.map(work, items)
        yield from results
    except BrokenProcessPool:
        problem = f"one of {workers} processes was killed, memory may be short"
        remedy = "start again with fewer --workers: what is finished is kept"
        raise BusyError(f"{problem} ({remedy})") from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _without_main(work: Callable) -> Iterator[None]:
    """Processes started inside do not import the main module, unless work is in it.

    An experiment's imports JAX, which takes each of them seconds.
    """
    main = sys.modules["__main__"]
    if getattr(work, "func", work).__module__ != "__main__":
        sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C waits; processes started inside do not hear it until `begin`.

    One that is still importing would answer it with a traceback. The process that
    tracks semaphores runs already: starting it would let interrupts through.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin() -> None:
    """What a worker does first: it ends at Ctrl-C, and when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
