"""Mistakes a reader can put right: one line and an exit code, no traceback."""

import os
import sys
from collections.abc import Callable
from typing import Any

import jax

from data_pipelines.readers.errors import in_words

BAD_INPUT = 2
"""Exit code: a file, an option or a directory is not as it should be."""
BUSY = 75
"""Exit code: nothing is wrong with the request; the same command may work later."""


class UserError(ValueError):
    """Says in one line what was found, what was expected and what to do."""

    exit_code = BAD_INPUT


class BusyError(UserError):
    """The machine, not the request, is in the way: a lock, a full disk."""

    exit_code = BUSY


def run_main(main: Callable[[], Any]) -> None:
    """Runs `main`; a mistake of the user ends the process with its line and its code.

    Mistakes are ValueErrors with an `exit_code`: ours, and those of `data_pipelines`.
    What the system refuses (no such file, a folder in its place, a full disk) is one.
    """
    try:
        with in_words():
            main()
    except ValueError as error:
        if not hasattr(error, "exit_code"):
            raise
        print(f"error: {one_line(error)}", file=sys.stderr, flush=True)
        leave(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        leave(130)


def one_line(error: object) -> str:
    """The text without line ends, and with control characters spelt out: names come
    from files, and a terminal obeys some of them."""
    words = " ".join(str(error).split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in words)


def leave(code: int) -> None:
    """Ends the process; among several, without waiting for the others to agree."""
    if jax.distributed.is_initialized():
        sys.stdout.flush()
        # The orderly exit is a barrier of 30 s that the failing process never reaches.
        os._exit(code)
    sys.exit(code)
