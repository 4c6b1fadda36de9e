"""Draws that come out in nearly the same proportions in every block of examples.

A share is a number in [0, 1). Independent ones would give one block many videos in a
terse language and another few. These are a lattice: equally far apart over the block,
and nearly so over any stretch of it, so that one static shape fits all blocks.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

Option = TypeVar("Option")

GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def shares(start: float, size: int) -> list[float]:
    """The share at each position of a block of that size; uniform where `start` is."""
    step = round(size * GOLDEN_RATIO)
    while math.gcd(step, size) > 1:
        step += 1
    return [(start + position * step / size) % 1.0 for position in range(size)]


def one_of(options: Sequence[Option], share: float) -> Option:
    """Each option for an equal part of all shares."""
    return options[min(int(share * len(options)), len(options) - 1)]


def happens(share: float, rate: float) -> tuple[bool, float]:
    """Whether something of that rate happens, and a share for what is drawn next."""
    if share < rate:
        return True, share / rate
    return False, (share - rate) / (1 - rate)
