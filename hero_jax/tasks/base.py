"""What the machinery knows about a task, and nothing more."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import flax.linen as nn
import numpy as np

from hero_jax.model.hero import HeroConfig
from hero_jax.types import Array, Int, Metrics, PyTree, Scalar


@dataclasses.dataclass(frozen=True)
class Answer:
    """One video found for a query, and the moment in it, in seconds."""

    video: str
    start: float
    end: float
    score: float


@runtime_checkable
class Searcher(Protocol):
    """A trained model beside a corpus."""

    def search(
        self, query: str, k: int = 10, *, split: str = "test", subtitles: str = ""
    ) -> list[Answer]:
        """The best `k` answers to a query in any language, best first."""
        ...

    def save(self, folder: Path, split: str) -> None:
        """Writes what `search` needs of a split, for a searcher of these corpora."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(abc.ABC):
    """One thing the model learns to do.

    A task file is the only place that knows its data, its head, its loss and its
    metrics. Tasks are frozen dataclasses: their fields are their hyperparameters.
    """

    is_means: ClassVar[bool] = False
    """Whether it only helps others to learn; measured where there are no others."""

    batch_size: int = 32
    """Examples (videos, unless the task says otherwise) in a batch."""
    weight: int = 1
    """How often the trainer draws this task, relative to the others (C.1)."""
    train_split: str = "train"
    """The split that is learned from, or several joined: train+val."""

    @abc.abstractmethod
    def examples(self, split: str) -> Sequence[Any]:
        """Random access to examples, as `data_pipelines` hands them out."""

    @abc.abstractmethod
    def expected_cost(self, example: Any) -> float:
        """About how many packed slots the example will need, before any draw."""

    @abc.abstractmethod
    def prepare(self, example: Any, rng: np.random.Generator, share: float) -> Any:
        """One example with everything random decided: crops, masks, samples.

        Args:
            share: in [0, 1), spread evenly over the examples of a block. What makes
                an example long or short (language, having subtitles) is drawn with it
                (`shares`), so that all blocks need nearly the same slots.
        """

    @abc.abstractmethod
    def cost(self, prepared: Any) -> int:
        """How many packed slots the prepared example needs; batches balance this."""

    @abc.abstractmethod
    def collate(
        self,
        groups: Sequence[Sequence[Any]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[PyTree, dict[str, int]]:
        """Groups of prepared examples as one numpy batch; also the sizes it took.

        Args:
            groups: one list per data shard whose rows stay together (often one).
            capacity: static sizes by name, per group; empty means as small as fits.
            local: positions in the batch whose frame features this host will use;
                the others may stay zero.
            rng: for what is drawn once a batch.
        """

    def fill(self, batch: PyTree) -> float:
        """Real slots / (rows x L) of the rows a batch is read in; 1 without rows."""
        return 1.0

    @abc.abstractmethod
    def head(self) -> nn.Module:
        """`(hero, batch, train=...) -> predictions`; owns the task's parameters."""

    @abc.abstractmethod
    def loss(
        self, predictions: Any, batch: PyTree, *, step: Int[Array, ""], key: Any
    ) -> tuple[Scalar, Metrics]:
        """The number to minimise and its named terms. Pure; schedules read `step`."""

    def fingerprint(self, split: str) -> Mapping[str, str | int | float]:
        """What the batches of this task depend on, by field."""
        return {}

    def evaluate(
        self,
        model: HeroConfig,
        params: PyTree,
        split: str,
        *,
        predictions_dir: Path | None = None,
    ) -> Mapping[str, Any]:
        """Metrics over a whole split, nested as the task likes; by default none.

        Args:
            params: of the whole task model, on this host.
            predictions_dir: where prediction files go, if anywhere.
        """
        return {}

    def portable(self) -> "Task":
        """This task without files that an exported folder does not take along."""
        return self

    def searcher(
        self, model: HeroConfig, params: PyTree, *, corpora: Path | None = None
    ) -> Searcher | None:
        """What answers queries with these parameters; by default nothing does.

        Args:
            corpora: where `Searcher.save` wrote; None reads the dataset itself.
        """
        return None
