"""What the tasks share that need nothing but videos with subtitles."""

import abc
import dataclasses
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hero_jax.model.hero import HeroConfig
from hero_jax.tasks import packing, shares
from hero_jax.tasks.base import Task
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.source import Examples, Source, VideoExample
from hero_jax.tasks.validation import validate
from hero_jax.types import PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainingTask(Task):
    """Something about a video is hidden, and has to be told from the rest of it.

    Prepared examples have `segments`, batches have `videos`.
    """

    is_means: ClassVar[bool] = True

    source: Source
    draws_officially: bool = False
    """Draw with Python's `random` in the official order, seeded by the pipeline."""

    def examples(self, split: str) -> Examples:
        return self.source.open(split)

    def expected_cost(self, example: VideoExample) -> float:
        lines = example.lines.values()
        return float(np.mean([sum(len(s) + 1 for s in line) for line in lines]))

    def cost(self, prepared: Any) -> int:
        return sum(map(len, prepared.segments))

    def fill(self, batch: Any) -> float:
        return packing.fill(np.asarray(batch.videos.segment))

    @abc.abstractmethod
    def num_predictions(self, batch: Any) -> int:
        """How many predictions the loss of a batch is the mean of."""

    def evaluate(
        self,
        model: HeroConfig,
        params: PyTree,
        split: str,
        *,
        predictions_dir: Path | None = None,
    ) -> Mapping[str, Any]:
        """Loss and terms over the split, every video once."""
        return validate(self, model, params, split, count=self.num_predictions)

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        fields = self.source.fingerprint(split)
        # Left out by default, so that older runs go on.
        return fields | ({"draws_officially": True} if self.draws_officially else {})


def lines_in_one_language(example: VideoExample, share: float) -> tuple[Segment, ...]:
    """The subtitles of a video in a language drawn from those it has."""
    return shares.one_of(list(example.lines.values()), share)


def official_draws(rng: np.random.Generator) -> random.Random:
    """The generator that the official code draws from, seeded by ours."""
    return random.Random(int(rng.integers(2**63)))
