"""What the machinery knows about a task, and nothing more."""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from hero_jax.types import Array, Int, Metrics, PyTree, Scalar

Predict = Callable[[PyTree], Any]
"""Batch -> predictions of the current model, in evaluation mode."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(abc.ABC):
    """One thing the model learns to do.

    A task file is the only place that knows its data, its head, its loss and its
    metrics. Tasks are frozen dataclasses: their fields are their hyperparameters.
    """

    batch_size: int = 32
    """Examples (videos, unless the task says otherwise) in a batch."""
    weight: float = 1.0
    """How often the trainer draws this task, relative to the others."""

    @abc.abstractmethod
    def examples(self, split: str) -> Sequence[Any]:
        """Random access to examples, as `data_pipelines` hands them out."""

    @abc.abstractmethod
    def prepare(self, example: Any, rng: np.random.Generator) -> Any:
        """One example with everything random decided: crops, masks, samples."""

    @abc.abstractmethod
    def sizes(self, prepared: Any) -> tuple[int, ...]:
        """Slots that each packed part (rows of segments, rows of queries) needs."""

    @abc.abstractmethod
    def collate(
        self,
        prepared: Sequence[Any],
        *,
        rows: tuple[int, ...],
        num_groups: int,
        rng: np.random.Generator,
    ) -> PyTree:
        """Prepared examples as one fixed-shape numpy batch of `rows` rows per part."""

    @abc.abstractmethod
    def head(self) -> nn.Module:
        """`(hero, batch, train=...) -> predictions`; owns the task's parameters."""

    @abc.abstractmethod
    def loss(
        self, predictions: Any, batch: PyTree, *, step: Int[Array, ""], key: Any
    ) -> tuple[Scalar, Metrics]:
        """The number to minimise and its named terms. Pure; schedules read `step`."""

    @abc.abstractmethod
    def fingerprint(self) -> Mapping[str, str | int | float]:
        """What the training batches of this task depend on, by field."""

    def evaluate(self, predict: Predict, split: str) -> Mapping[str, float]:
        """Metrics over a whole split; by default there are none."""
        return {}
