"""Command lines from dataclasses, with one line for a mistake in an option."""

import contextlib
import io
import re
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

from hero_jax import errors

T = TypeVar("T")

TITLE = re.compile("╭.*╮")
FRAME = re.compile("[╭╮╰╯│─]|-{5,}")
HELP = re.compile(r"For full helptext, (run|see):?")


def parse(kind: Callable[..., T], **options: Any) -> T:
    """`tyro.cli`. Raises UserError where options cannot be parsed; --help ends."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(kind, **options)
    except SystemExit as ended:
        if ended.code != errors.BAD_INPUT:
            raise
        raise errors.UserError(in_one_line(said.getvalue())) from None


def in_one_line(box: str) -> str:
    """The words in the frame that tyro draws, without it and its title."""
    words = " ".join(FRAME.sub(" ", TITLE.sub("", box)).split())
    complaint, _, program = HELP.sub("\n", words).partition("\n")
    return f"{complaint.strip(' :')} (see {program.strip() or '--help'})"
