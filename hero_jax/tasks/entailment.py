"""Whether a video bears out a statement: VIOLIN (D.6)."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from data_pipelines.schema import Statement
from hero_jax.losses.verdict import verdict_loss
from hero_jax.metrics.accuracy import verdict_accuracy
from hero_jax.model.hero import Hero
from hero_jax.tasks.beside import (
    FALSE,
    TRUE,
    UNKNOWN,
    Asked,
    BesideBatch,
    frames_beside,
    pieces,
)
from hero_jax.tasks.judging import JudgingTask, languages_of
from hero_jax.tasks.source import Source
from hero_jax.types import Array, Float, Int, Metrics, Scalar


class JudgeStatements(nn.Module):
    """One logit a statement, from its own head or from that of questions."""

    is_answer_head: bool

    @nn.compact
    def __call__(
        self, hero: Hero, batch: BesideBatch, *, train: bool = False
    ) -> Float[Array, "N"]:
        return verdicts(hero, batch, is_answer_head=self.is_answer_head, train=train)


def verdicts(
    hero: Hero, batch: BesideBatch, *, is_answer_head: bool, train: bool = False
) -> Float[Array, "N"]:
    frames, mask = frames_beside(hero, batch, train=train)
    verdict = hero.answer.verdict if is_answer_head else hero.statement
    return verdict(frames, mask)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entailment(JudgingTask):
    """Tells true statements from false ones."""

    context: int = 2
    """Earlier subtitles read with each one (official sub_ctx_len)."""
    is_paired: bool = True
    """Train on every statement beside its contrary (HERO); else alone (VALUE)."""
    is_answer_head: bool = False
    """Judge with the head of questions, as VALUE's models do (A.8)."""

    @property
    def kind(self) -> str:
        return "statements"

    def asked(self, split: str, *, is_training: bool) -> tuple[Asked, ...]:
        return _statements(self.source, split, is_training and self.is_paired)

    def judge(self, hero: Hero, batch: BesideBatch) -> Float[Array, "B N"]:
        logits = verdicts(hero, batch, is_answer_head=self.is_answer_head)
        return logits.reshape(len(batch.span), -1)

    def metrics(self, logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        return verdict_accuracy(logits[:, 0], truth[:, 0])

    def choices(self, logits: np.ndarray) -> list[int]:
        return (logits[:, 0] > 0).astype(int).tolist()

    def head(self) -> JudgeStatements:
        return JudgeStatements(self.is_answer_head)

    def loss(
        self,
        predictions: Float[Array, "N"],
        batch: BesideBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        truth = jnp.asarray(batch.truth)
        hits = ((predictions > 0) == (truth == TRUE)) & (truth != UNKNOWN)
        accuracy = hits.sum() / jnp.maximum((truth != UNKNOWN).sum(), 1)
        return verdict_loss(predictions, truth), {"accuracy": accuracy}

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        return super().fingerprint(split) | {"is_paired": self.is_paired}


@functools.lru_cache(maxsize=16)
def _statements(source: Source, split: str, is_paired: bool) -> tuple[Asked, ...]:
    """The statements of a split; each with its contrary, or padding without one."""
    examples = source.open(split)
    videos = {example.video.video_id: example for example in examples}
    statements = examples.corpus.statements
    codes = [
        languages_of(examples, [one.texts], f"statement {one.statement_id!r}")
        for one in statements
    ]
    texts = [s.texts[code] for s, known in zip(statements, codes) for code in known]
    tokens = iter(examples.tokenizer.encode(texts))
    read = [{code: next(tokens) for code in known} for known in codes]
    by_id = {s.statement_id: (s, r) for s, r in zip(statements, read)}
    return tuple(
        _asked(source, [by_id[s.statement_id], *others], videos[s.video_id])
        for s in statements
        for others in [[by_id.get(s.opposite)] if is_paired else []]
    )


def _asked(source: Source, members: list[Any], video: Any) -> Asked:
    """The first of `members` (statement and its tokens), and the others beside it."""
    statement, tokens = members[0]
    nothing = np.zeros(0, np.int32)
    shown = lambda member, code: (
        pieces(source, [member[1][code]]) if member and code in member[1] else nothing
    )
    return Asked(
        statement.statement_id,
        video,
        {code: tuple(shown(member, code) for member in members) for code in tokens},
        max(len(text) for m in members if m for text in m[1].values()),
        tuple(_truth(m[0]) if m else UNKNOWN for m in members),
    )


def _truth(statement: Statement) -> int:
    if statement.is_true is None:
        return UNKNOWN
    return TRUE if statement.is_true else FALSE
