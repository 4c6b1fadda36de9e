"""Strict reading of text, JSON and typed fields: whatever a file may get wrong."""

import contextlib
import dataclasses
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from data_pipelines.readers.errors import InputError, found, kind_of, wrong
from data_pipelines.readers.lmdb import Entry
from data_pipelines.text import clean

MAX_TEXT = 2000
"""Characters of one query or subtitle."""
MAX_SECONDS = 86_400.0
"""A video lasts at most a day."""
MAX_LINE = 1 << 22
"""Bytes of one line of a JSONL file."""
MAX_FILE = 1 << 28
"""Bytes of a file that is read whole."""

# YouTube's own ids may begin with a hyphen.
IDENTIFIER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
SPLIT = re.compile(r"[a-z][a-z0-9_]{0,31}")
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{1,8})*")

# Characters that Unicode calls letters or symbols, and that leave no mark on paper.
BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
SURROGATE = re.compile("[\ud800-\udfff]")
# Controls that are no white space, zero-width space and byte order mark. The joiners
# stay: emoji and Persian need them.
CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b\ufeff]")


@contextlib.contextmanager
def opened(path: Path | Entry) -> Iterator[IO[bytes]]:
    """The file for reading; that it cannot be opened or read is an InputError."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise wrong(path, "", "is missing (check the name)") from None
    except OSError as error:
        raise wrong(path, "", f"cannot be read: {error.strerror or error}") from None


def decoded(raw: bytes, place: object) -> str:
    """UTF-8 text without its byte order mark."""
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte = f"byte {error.start} ({error.object[error.start]:#04x})"
        problem = f"not UTF-8 at {byte}"
        raise wrong(place, "", problem, "save the file as UTF-8") from None


def read_text(path: Path) -> str:
    """A whole text file of bounded size."""
    with opened(path) as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise wrong(
            path, "", f"is larger than {MAX_FILE} bytes", "is it the right one?"
        )
    return decoded(raw, path)


def sanitised(text: str, place: object, field: str) -> str:
    """Cleaned (`text.clean`), NFC, one line, no control characters.

    An InputError where it is no text or huge.
    Right-to-left marks, joiners and combining characters stay: they carry meaning.
    """
    if half := SURROGATE.search(text):
        problem = f"has half a character (lone surrogate) at position {half.start()}"
        raise wrong(place, field, problem, "export the text again as UTF-8")
    text = CONTROL.sub("", unicodedata.normalize("NFC", clean(text)))
    text = re.sub(r"\s", " ", text)
    if len(text) > MAX_TEXT:
        problem = f"has {len(text)} characters, at most {MAX_TEXT} are allowed"
        raise wrong(place, field, problem, "shorten it")
    return text.strip()


def is_visible(text: str) -> bool:
    """Whether anything of the text would be seen on paper."""
    return any(c not in BLANKS and unicodedata.category(c)[0] not in "ZC" for c in text)


@dataclasses.dataclass(frozen=True)
class Row:
    """A JSON object that knows where it stands, and hands out checked fields."""

    place: str
    values: Mapping[str, Any]
    prefix: str = ""
    """What precedes a field's name in messages, such as `sub[3].`."""

    def wrong(self, field: str, problem: str, remedy: str = "") -> InputError:
        return wrong(self.place, self.prefix + field, problem, remedy)

    def has(self, field: str) -> bool:
        return field in self.values

    def value(self, field: str) -> Any:
        if field not in self.values:
            raise self.wrong(field, "is missing", "every line needs it")
        return self.values[field]

    def typed(self, field: str, kind: type, expected: str) -> Any:
        """The field's value, which must be a `kind`; `expected` names it in words."""
        value = self.value(field)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(field, f"expected {expected}, found {_described(value)}")
        return value

    def text(self, field: str) -> str:
        """Cleaned text, possibly empty."""
        text = self.typed(field, str, "text")
        return sanitised(text, self.place, self.prefix + field)

    def visible_text(self, field: str) -> str:
        text = self.text(field)
        if not is_visible(text):
            problem = "is empty (only spaces or invisible characters)"
            raise self.wrong(field, problem if self.values[field] else "is empty")
        return text

    def identifier(self, field: str) -> str:
        """A name that is safe as a file name: no separators, no leading dot."""
        name = self.typed(field, str, "text")
        return checked_id(name, self.place, self.prefix + field)

    def number_or_name(self, field: str) -> str:
        """An id that is text or a whole number, as text."""
        value = self.value(field)
        if isinstance(value, str):
            return self.identifier(field)
        if type(value) is not int or value < 0:
            problem = "expected text or a whole number of up to 18 digits"
            raise self.wrong(field, f"{problem}, found {_described(value)}")
        return str(value)

    def seconds(self, field: str) -> float:
        """A finite time, not negative, of at most a day."""
        return checked_seconds(self.value(field), self.place, self.prefix + field)

    def row(self, field: str) -> "Row":
        """An object inside this one."""
        values = self.typed(field, dict, "an object")
        return Row(self.place, values, f"{self.prefix}{field}.")

    def rows(self, field: str) -> list["Row"]:
        """A list of objects inside this one."""
        values = self.typed(field, list, "a list of objects")
        return [self._item(field, i, value) for i, value in enumerate(values)]

    def _item(self, field: str, index: int, value: Any) -> "Row":
        name = f"{field}[{index}]"
        if not isinstance(value, dict):
            raise self.wrong(name, f"expected an object, found {_described(value)}")
        return Row(self.place, value, f"{self.prefix}{name}.")


def checked_id(name: str, place: object, field: str) -> str:
    """The name, if it can be a file name on any system."""
    if not IDENTIFIER.fullmatch(name) or ".." in name:
        problem = f"{found(name)} is not a plain name"
        raise wrong(place, field, problem, "use letters, digits, _ . - and at most 128")
    return name


def checked_seconds(value: Any, place: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(place, field, f"expected seconds, found {_described(value)}")
    if not math.isfinite(value):
        raise wrong(place, field, f"expected seconds, found {value}, which is no time")
    if not 0 <= value <= MAX_SECONDS:
        problem = f"expected 0 to {MAX_SECONDS:g} seconds, found {value:g}"
        raise wrong(place, field, problem)
    return float(value)


def checked_duration(value: Any, place: object, field: str) -> float:
    """Seconds that a video lasts, more than zero."""
    seconds = checked_seconds(value, place, field)
    if seconds == 0:
        raise wrong(place, field, "is 0, and a video lasts longer than that")
    return seconds


def checked_language(code: str, place: object, field: str) -> str:
    """A language code such as `en`, `zh` or `zh-x-google`."""
    if not LANGUAGE.fullmatch(code):
        problem = f"{found(code)} is no language code"
        raise wrong(place, field, problem, "use codes such as en, zh, pt-BR")
    return code


def checked_split(name: str, place: object, field: str) -> str:
    """A name that can be part of a record file's name."""
    if not SPLIT.fullmatch(name):
        problem = f"{found(name)} is no split name"
        raise wrong(place, field, problem, "use lower-case letters, digits and _")
    return name


def _described(value: Any) -> str:
    """`a number 3`, `null`, `an object`: type and value as far as they help."""
    name = kind_of(value)
    return name if isinstance(value, dict | None) else f"{name} {found(value)}"


def read_json(path: Path) -> Row:
    """A file that holds one JSON object."""
    return _object(read_text(path), str(path))


def read_json_list(path: Path) -> list[Any]:
    """A file that holds one JSON list."""
    value = _parsed(read_text(path), str(path))
    if not isinstance(value, list):
        raise wrong(path, "", f"expected a JSON list, found {_described(value)}")
    return value


def read_json_lines(path: Path) -> Iterator[Row]:
    """The objects of a JSONL file, one a line; blank lines are skipped."""
    with opened(path) as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            place = f"{path}:{number}"
            if len(raw) > MAX_LINE:
                raise wrong(place, "", f"the line is longer than {MAX_LINE} bytes")
            if text := decoded(raw, place).strip():
                yield _object(text, place)


def _object(text: str, place: str) -> Row:
    value = _parsed(text, place)
    if not isinstance(value, dict):
        raise wrong(place, "", f"expected a JSON object, found {_described(value)}")
    return Row(place, value)


def _parsed(text: str, place: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise wrong(place, "", f"key {found(twice)} appears twice", "remove one")
        return values

    try:
        return json.loads(text, object_pairs_hook=unique, parse_int=_bounded_int)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise wrong(place, "", f"is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise wrong(place, "", "is nested too deeply for any real data") from None


def _bounded_int(digits: str) -> int | float:
    """Numbers beyond 64 bits become floats, which the field's own check names."""
    return int(digits) if len(digits) < 19 else float(digits)
