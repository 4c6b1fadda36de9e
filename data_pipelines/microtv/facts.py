"""What can be seen and said in microtv, and which combinations each split owns."""

import zlib
from collections.abc import Iterable
from functools import cache
from itertools import product

VISUAL = {
    "character": ("anna", "ben", "carla", "david", "emma", "frank", "grace", "henry"),
    "action": (
        *("lift", "kick", "push", "hug"),
        *("throw", "point", "wash", "photograph"),
    ),
    "object": (
        *("ball", "box", "lamp", "cake", "guitar"),
        *("chair", "book", "hat", "bottle", "clock"),
    ),
    "place": ("kitchen", "garden", "office", "street", "beach", "library"),
    "light": ("night", "rain", "snow", "sunset", "sunshine"),
}
"""Facts that are only drawn: field -> its values."""

SAID = {
    "who": (
        *("brother", "sister", "teacher", "doctor"),
        *("neighbour", "boss", "grandmother", "cousin"),
    ),
    "topic": (
        *("concert", "wedding", "exam", "trip", "dinner"),
        *("party", "interview", "race", "lecture", "meeting"),
    ),
    "day": (
        *("monday", "tuesday", "wednesday", "thursday"),
        *("friday", "saturday", "sunday"),
    ),
    "quality": (
        *("boring", "expensive", "noisy", "short"),
        *("wonderful", "private", "crowded", "dangerous"),
    ),
}
"""Facts that are only told: field -> its values."""

CHANNELS = {"visual": VISUAL, "said": SAID}

FIELDS = {**VISUAL, **SAID}

SHOWN_IN_VT = ("character", "action", "object")
TOLD_IN_VT = ("who", "topic", "day")
"""The halves of a query that needs both channels."""

Facts = dict[str, str]
"""field -> value, for any of the fields above."""

SPLITS = ("train", "val", "test")

_SHARES = (("train", 60), ("val", 20), ("test", 20))
"""Percent of all combinations that each split may use."""


def key_of(facts: Facts, fields: Iterable[str]) -> tuple[str, ...]:
    """The values of `fields`, as something to compare and to store in sets."""
    return tuple(facts[field] for field in fields)


def split_of(key: tuple[str, ...]) -> str:
    """The split that owns a combination: by its hash, the same for every seed."""
    place = zlib.crc32(" ".join(key).encode()) % 100
    for split, share in _SHARES:
        if place < share:
            return split
        place -= share
    raise AssertionError("shares add up to 100")


@cache
def pool_of(channel: str, split: str) -> tuple[tuple[str, ...], ...]:
    """Every combination of "visual" or "said" facts that `split` owns."""
    every = product(*CHANNELS[channel].values())
    return tuple(key for key in every if split_of(key) == split)
