"""How bad input is reported: errors in one line, harmless oddities as counts."""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

MAX_MESSAGE = 399
"""Characters of a message; longer ones lose their middle."""
MAX_PLACE = 160
MAX_SHOWN = 60


class InputError(ValueError):
    """A user's input is at fault: `file:line: field: what is wrong (remedy)`."""

    exit_code = 2

    def __init__(self, message: str):
        super().__init__(shortened(" ".join(message.split()), MAX_MESSAGE))


class BusyError(InputError):
    """The machine is in the way, not the request: the same command may work later."""

    exit_code = 75


def wrong(place: object, field: str, problem: str, remedy: str = "") -> InputError:
    """The error for a field at a place; `problem` reads on from the field's name."""
    where = printable(shortened(str(place), MAX_PLACE))
    what = f"{printable(field)}: {problem}" if field else problem
    return InputError(f"{where}: {what}" + (f" ({remedy})" if remedy else ""))


_ROOM = "make room and start again"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RIGHTS = "change its permissions, or name another place"
_REMEDIES = {
    **dict.fromkeys(_FULL, _ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
    errno.EEXIST: "it is in the way: remove it, or name another place",
    errno.ENOTDIR: "a file stands where a folder should: name another place",
    errno.EISDIR: "a folder stands where a file should: name another place",
    errno.ENOENT: "check the name; nothing may be removed meanwhile",
    errno.ENAMETOOLONG: "name a shorter place",
}


@contextlib.contextmanager
def in_words(place: object = "") -> Iterator[None]:
    """What the system refuses inside becomes an InputError; a full disk, a BusyError.

    It names the file that the system names, else `place`.
    """
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "see to it and start again")
        problem = error.strerror or str(error) or type(error).__name__
        refusal = wrong(error.filename or place or "system", "", problem, remedy)
        is_full = error.errno in _FULL
        raise BusyError(str(refusal)) if is_full else refusal from None


def found(value: Any) -> str:
    """A value as a message shows it: short, on one line, with nothing invisible."""
    return shortened(repr(value), MAX_SHOWN)


def kind_of(value: Any) -> str:
    """The JSON name of a value's type."""
    names = {bool: "a boolean", dict: "an object", list: "a list", str: "text"}
    names |= {int: "a number", float: "a number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def printable(text: str) -> str:
    """The text with control, bidirectional and invisible characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning and end around an ellipsis."""
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


class Tally:
    """Counts of oddities that a reader accepted and put right, by what was done."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, oddity: str, place: object, count: int = 1) -> None:
        """`oddity` says what was found and done: `"subtitles out of order, sorted"`."""
        self._counts[oddity] = self._counts.get(oddity, 0) + count
        self._first.setdefault(oddity, printable(shortened(str(place), MAX_PLACE)))

    def lines(self) -> list[str]:
        return [
            f"{count} x {oddity}; first: {self._first[oddity]}"
            for oddity, count in self._counts.items()
        ]

    def __getitem__(self, oddity: str) -> int:
        return self._counts.get(oddity, 0)
