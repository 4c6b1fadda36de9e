"""What a value read from JSON must look like, and where it does not.

{"seed": int}       an object with at least these fields
[inner]             a list of such
Each(inner)         an object whose fields are named freely, at least one
Maybe(inner)        null or such
Rule(test, text)    whatever passes the test; the text says what is expected
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

SHOWN = 40
"""Characters of a wrong value that a message shows."""


@dataclasses.dataclass(frozen=True)
class Rule:
    test: Callable[[Any], bool]
    text: str


@dataclasses.dataclass(frozen=True)
class Each:
    inner: Any
    may_be_empty: bool = False


@dataclasses.dataclass(frozen=True)
class Maybe:
    inner: Any


def is_whole(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < 2**31


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300


WHOLE = Rule(is_whole, "a whole number")
NUMBER = Rule(is_number, "a number")
TEXT = Rule(lambda value: isinstance(value, str), "a text")
OBJECT = Rule(lambda value: isinstance(value, dict) and bool(value), "an object")
RANK = Rule(
    lambda value: value is None or is_whole(value, 1), "a rank of 1 or more, or null"
)


def mismatches(value: Any, shape: Any, place: str = "") -> Iterator[str]:
    """Every place where the value is not of that shape, as one line each."""
    if isinstance(shape, Maybe):
        if value is not None:
            yield from mismatches(value, shape.inner, place)
    elif isinstance(shape, Rule):
        if not shape.test(value):
            yield f"{place}: found {_short(value)}, expected {shape.text}"
    elif isinstance(shape, list):
        yield from _in_list(value, shape[0], place)
    else:
        yield from _in_object(value, shape, place)


def _in_list(value: Any, inner: Any, place: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{place}: found {_short(value)}, expected a list"
        return
    if isinstance(inner, Rule) and all(map(inner.test, value)):
        return
    for number, one in enumerate(value):
        yield from mismatches(one, inner, f"{place}[{number}]")


def _in_object(value: Any, shape: Any, place: str) -> Iterator[str]:
    is_free = isinstance(shape, Each)
    if not isinstance(value, dict) or (
        is_free and not value and not shape.may_be_empty
    ):
        yield f"{place or 'it'}: found {_short(value)}, expected an object with fields"
        return
    for name in value if is_free else shape:
        here = f"{place}.{name}" if place else name
        if name not in value:
            yield f"{here}: found none"
        else:
            yield from mismatches(
                value[name], shape.inner if is_free else shape[name], here
            )


def _short(value: Any) -> str:
    text = repr(value) if value not in (None, "") else "none"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
