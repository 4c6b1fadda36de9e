"""How the commands of this package end: one line and an exit code, no traceback."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from data_pipelines.readers.errors import InputError, in_words

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as a shell has it."""


class Parser(argparse.ArgumentParser):
    """Refuses options in one line, as everything else is refused."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


def answer(command: Callable[[], None]) -> int:
    """0, 2 where the input is at fault, 75 where the machine is busy, 130 at Ctrl-C."""
    try:
        with in_words():
            command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted (the same command starts again)", file=sys.stderr)
        return INTERRUPTED
    return 0


def folder(text: str) -> Path:
    """A folder's name, which is not empty: "" would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError("found an empty name, expected a folder")
    return Path(text)


def checked_workers(workers: int) -> int:
    """How many processes work at once."""
    if workers < 1:
        raise InputError(f"--workers: found {workers}, expected 1 or more")
    return workers


def checked_interval(interval: float) -> float:
    """Seconds between frames; a video has no more than a hundred a second."""
    if not 0.01 <= interval <= 60:
        problem = f"found {interval:g}, expected seconds from 0.01 to 60"
        raise InputError(f"--interval: {problem}")
    return interval
