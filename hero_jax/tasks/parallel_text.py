"""Sentences that translate one another get one vector: contrastive text alignment.

Parallel texts that belong to no video must find one another among all translations of
the batch. The objective says which published way this is (crosslingual.md, 3.2):

    InfoNCE()         the simplest, `xl-infonce`
    Neighbourhood()   mXML's constraint, `nc`
    Lexical()         targeted lexical injection, `tli`, with `layer`
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np

from hero_jax.losses import Objective
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.model.hero import Hero
from hero_jax.model.layout import TextBatch
from hero_jax.tasks import packing
from hero_jax.tasks.base import Task
from hero_jax.tasks.collate import collate_texts, text_id
from hero_jax.tasks.source import Source
from hero_jax.types import Array, Float, Int, Metrics, Scalar


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class ParallelBatch:
    texts: TextBatch
    """Both sides of N pairs, N first sides and then N second sides in each group."""
    text_id: Int[Array, "N 2"]
    """Equal for equal texts: pairs that share one are no negatives of one another."""


class ParallelHead(nn.Module):
    """Cosine of every first side with every second side, [N N]."""

    layer: int | None = None

    @nn.compact
    def __call__(
        self, hero: Hero, batch: ParallelBatch, *, train: bool = False
    ) -> Float[Array, "N N"]:
        if self.layer is None:
            vectors = hero.encode_queries(batch.texts, train=train)
        else:
            vectors = hero.mean_words(batch.texts, layer=self.layer, train=train)
        groups = batch.texts.num_groups
        sides = vectors.reshape(groups, 2, -1, vectors.shape[-1])
        sides = jnp.moveaxis(sides, 1, 0).reshape(2, -1, vectors.shape[-1])
        sides = sides.astype(jnp.promote_types(sides.dtype, jnp.float32))
        norm = jnp.sqrt(jnp.maximum(jnp.sum(sides**2, axis=-1, keepdims=True), 1e-10))
        first, second = sides / norm
        return jnp.einsum("nd,md->nm", first, second)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParallelText(Task):
    """Pairs drawn from `Corpus.parallel`: texts of one language search the other's.

    Of more than two languages each pair has two, drawn for it; only with an `order` are
    all first sides of a batch in one language then.
    """

    is_means: ClassVar[bool] = True

    source: Source
    objective: Objective = InfoNCE(temperature=0.05)
    """Ranks the translation above the other texts; it may not read `vectors`."""
    layer: int | None = None
    """Layer of the text tower whose words are averaged, 0 the embedding; None takes the
    vectors that search uses."""
    order: tuple[str, ...] = ()
    """Two languages, the one that searches first; empty draws the direction of each
    batch. One-way objectives such as `Lexical` have a direction."""

    def examples(self, split: str) -> Sequence[dict[str, np.ndarray]]:
        examples = self.source.open(split)
        if unknown := set(self.order) - set(examples.languages):
            raise ValueError(
                f"ParallelText: order: found {', '.join(sorted(unknown))}, expected "
                f"two of {', '.join(examples.languages)}"
            )
        return examples.parallel

    def expected_cost(self, example: dict[str, np.ndarray]) -> float:
        return float(sum(map(len, example.values())))

    def prepare(
        self, example: dict[str, np.ndarray], rng: np.random.Generator, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        languages = sorted(example)
        drawn = sorted(rng.choice(len(languages), 2, replace=False))
        first, second = self.order or (languages[i] for i in drawn)
        return example[first], example[second]

    def cost(self, prepared: tuple[np.ndarray, np.ndarray]) -> int:
        return sum(map(len, prepared))

    def collate(
        self,
        groups: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[ParallelBatch, dict[str, int]]:
        if not self.order and rng.random() < 0.5:
            groups = [[(second, first) for first, second in g] for g in groups]
        sides = [
            [pair[0] for pair in group] + [pair[1] for pair in group]
            for group in groups
        ]
        texts, rows = collate_texts(self.source.open(split), sides, capacity)
        text_ids = [list(map(text_id, pair)) for group in groups for pair in group]
        return ParallelBatch(texts, np.array(text_ids, np.int32)), {"query_rows": rows}

    def fill(self, batch: ParallelBatch) -> float:
        return packing.fill(np.asarray(batch.texts.segment))

    def head(self) -> ParallelHead:
        return ParallelHead(self.layer)

    def loss(
        self,
        predictions: Float[Array, "N N"],
        batch: ParallelBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        positives = jnp.eye(len(predictions), dtype=bool)
        row, column = batch.text_id[:, None, :, None], batch.text_id[None, :, None, :]
        allowed = ~jnp.any(row == column, axis=(2, 3))
        return self.objective(predictions, positives, allowed, step=step, key=key)

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        fields = self.source.fingerprint(split)
        return fields | ({"order": "+".join(self.order)} if self.order else {})
