"""Sentences that translate one another get one vector: contrastive text alignment.

The simplest cross-lingual objective (crosslingual.md, 3.2 `xl-infonce`): parallel texts
that belong to no video are both read as queries, and each must find the other among all
translations of the batch.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np

from hero_jax.losses.info_nce import InfoNCE
from hero_jax.model.hero import Hero
from hero_jax.model.layout import TextBatch
from hero_jax.tasks import packing
from hero_jax.tasks.base import Task
from hero_jax.tasks.collate import collate_texts
from hero_jax.tasks.source import Source
from hero_jax.types import Array, Float, Int, Metrics, Scalar


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class ParallelBatch:
    texts: TextBatch
    """Both sides of N pairs, N first sides and then N second sides in each group."""


class ParallelHead(nn.Module):
    """Cosine of every first side with every second side, [N N]."""

    @nn.compact
    def __call__(
        self, hero: Hero, batch: ParallelBatch, *, train: bool = False
    ) -> Float[Array, "N N"]:
        vectors = hero.encode_queries(batch.texts, train=train)
        groups = batch.texts.num_groups
        sides = vectors.reshape(groups, 2, -1, vectors.shape[-1])
        sides = jnp.moveaxis(sides, 1, 0).reshape(2, -1, vectors.shape[-1])
        norm = jnp.sqrt(jnp.maximum(jnp.sum(sides**2, axis=-1, keepdims=True), 1e-10))
        first, second = sides / norm
        return jnp.einsum("nd,md->nm", first, second)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParallelText(Task):
    """Pairs drawn from `Corpus.parallel`, in random order of their languages."""

    source: Source
    objective: InfoNCE = InfoNCE(temperature=0.05)

    def examples(self, split: str) -> Sequence[dict[str, np.ndarray]]:
        return self.source.open(split).parallel

    def expected_cost(self, example: dict[str, np.ndarray]) -> float:
        return float(sum(map(len, example.values())))

    def prepare(
        self, example: dict[str, np.ndarray], rng: np.random.Generator, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        languages = sorted(example)
        first, second = rng.choice(len(languages), 2, replace=False)
        return example[languages[first]], example[languages[second]]

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
        sides = [
            [pair[0] for pair in group] + [pair[1] for pair in group]
            for group in groups
        ]
        texts, rows = collate_texts(self.source.open(split), sides, capacity)
        return ParallelBatch(texts), {"query_rows": rows}

    def fill(self, batch: ParallelBatch) -> float:
        return packing.fill(np.asarray(batch.texts.segment))

    def head(self) -> ParallelHead:
        return ParallelHead()

    def loss(
        self,
        predictions: Float[Array, "N N"],
        batch: ParallelBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        positives = jnp.eye(len(predictions), dtype=bool)
        return self.objective(predictions, positives, ~positives, step=step, key=key)

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        return self.source.fingerprint(split)
