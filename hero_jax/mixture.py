"""Which task a training step serves: a pure function of the seed and the step."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from hero_jax.errors import UserError

MAX_BLOCK = 10_000
"""Steps in which the proportions must come out exactly."""


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Draws tasks in exact proportion to their weights, in blocks shuffled by `seed`.

        weights mlm 1, vsm 2:   mlm vsm vsm | vsm mlm vsm | vsm vsm mlm | ...

    Any step can be asked for directly, so that a resumed run needs no other memory.
    """

    weights: Mapping[str, float]
    seed: int

    def at(self, step: int) -> tuple[str, int]:
        """The task of a step, and how often that task was drawn before it."""
        order = list(self.weights)
        block, place = divmod(step, sum(self.counts))
        drawn = shuffled_block(self.counts, self.seed, block)
        task = drawn[place]
        before = block * self.counts[task] + int((drawn[:place] == task).sum())
        return order[task], before

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Draws of each task in one block: the weights as smallest whole numbers."""
        for name, weight in self.weights.items():
            if not (weight > 0 and math.isfinite(weight)):
                raise UserError(f"task {name}: weight is {weight}; give it more than 0")
        ratios = [Fraction(w).limit_denominator(1000) for w in self.weights.values()]
        unit = math.lcm(*(ratio.denominator for ratio in ratios))
        whole = [int(ratio * unit) for ratio in ratios]
        counts = tuple(n // math.gcd(*whole) for n in whole)
        if min(counts) == 0 or sum(counts) > MAX_BLOCK:
            raise UserError(
                f"task weights {dict(self.weights)} repeat only after {sum(counts)} "
                f"steps; use ratios of small whole numbers"
            )
        return counts


@functools.lru_cache(maxsize=64)
def shuffled_block(counts: tuple[int, ...], seed: int, block: int) -> np.ndarray:
    """The indices of the tasks in one block, in the order they are trained."""
    drawn = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng([seed, block]).permutation(drawn)
