"""Answering questions about videos: TVQA, How2QA, and VLEP's "what happens next" (D.4).

One of several answers is right; where the moment that a question is about is known, the
model also learns to point at it. Officially the moment only helps to learn.
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from data_pipelines import align
from data_pipelines.readers.errors import wrong
from data_pipelines.schema import Question
from hero_jax.losses.answer import AnswerLoss
from hero_jax.metrics.accuracy import answer_accuracy
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
from hero_jax.tasks.source import NO_SPAN, Examples, Source, VideoExample
from hero_jax.types import Array, Float, Int, Metrics, Scalar


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class AnswerPredictions:
    logits: Float[Array, "B N"]
    """Of every answer."""
    start: Float[Array, "B F"]
    """Logits of the first frame of the moment, and of the last one."""
    end: Float[Array, "B F"]


class AnswerQuestions(nn.Module):
    """What Hero's answer head makes of every question of a batch."""

    @nn.compact
    def __call__(
        self, hero: Hero, batch: BesideBatch, *, train: bool = False
    ) -> AnswerPredictions:
        return answers(hero, batch, train=train)


def answers(
    hero: Hero, batch: BesideBatch, *, train: bool = False
) -> AnswerPredictions:
    frames, mask = frames_beside(hero, batch, train=train)
    num_answers = len(frames) // len(batch.span)
    by_question = lambda x: rearrange(x, "(b n) ... -> b n ...", n=num_answers)
    return AnswerPredictions(*hero.answer(by_question(frames), by_question(mask)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionAnswering(JudgingTask):
    """Chooses the right answer; all questions of a dataset have equally many."""

    objective: AnswerLoss = AnswerLoss()
    """The answer, and the moment."""

    @property
    def kind(self) -> str:
        return "questions"

    def asked(self, split: str, *, is_training: bool) -> tuple[Asked, ...]:
        return _questions(self.source, split)

    def judge(self, hero: Hero, batch: BesideBatch) -> Float[Array, "B N"]:
        return answers(hero, batch).logits

    def metrics(self, logits: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
        return answer_accuracy(logits, np.asarray(labels_of(truth)))

    def choices(self, logits: np.ndarray) -> list[int]:
        return logits.argmax(axis=1).tolist()

    def head(self) -> AnswerQuestions:
        return AnswerQuestions()

    def loss(
        self,
        predictions: AnswerPredictions,
        batch: BesideBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        logits = predictions.logits
        labels = labels_of(jnp.asarray(batch.truth).reshape(logits.shape))
        total, terms = self.objective(
            logits, predictions.start, predictions.end, labels, batch.span
        )
        hits = (jnp.argmax(logits, axis=1) == labels).sum()
        known = jnp.maximum((labels >= 0).sum(), 1)
        return total, terms | {"accuracy": hits / known}


def labels_of(truth: Int[Array, "B N"]) -> Int[Array, "B"]:
    """Which answer is right, -1 where nobody told."""
    is_true = jnp.asarray(truth) == TRUE
    return jnp.where(is_true.any(axis=1), jnp.argmax(is_true, axis=1), -1)


@functools.lru_cache(maxsize=16)
def _questions(source: Source, split: str) -> tuple[Asked, ...]:
    """The questions of a split, tokenised in every language that they exist in."""
    examples = source.open(split)
    videos = {example.video.video_id: example for example in examples}
    questions = examples.corpus.questions
    _check_counts(examples, questions)
    tokens = _tokens(examples, questions)
    return tuple(
        _asked(source, question, videos[question.video_id], of_question)
        for question, of_question in zip(questions, tokens)
    )


def _check_counts(examples: Examples, questions: Any) -> None:
    """A batch has one shape, so questions have equally many answers."""
    expected = len(questions[0].answers) if questions else 0
    for question in questions:
        if (count := len(question.answers)) != expected:
            problem = (
                f"question {question.question_id!r} has {count} answers, expected "
                f"{expected} as the first question has"
            )
            raise wrong(examples.corpus.name, "", problem, "build them apart")


def _tokens(examples: Examples, questions: Any) -> list[dict[str, list[np.ndarray]]]:
    """Per question and language the tokens of the question, if any, and its answers."""
    parts = [_parts(question) for question in questions]
    languages = [
        languages_of(examples, ones, f"question {question.question_id!r}")
        for question, ones in zip(questions, parts)
    ]
    texts = [
        part[code]
        for ones, codes in zip(parts, languages)
        for code in codes
        for part in ones
    ]
    tokens = iter(examples.tokenizer.encode(texts))
    return [
        {code: [next(tokens) for _ in ones] for code in codes}
        for ones, codes in zip(parts, languages)
    ]


def _parts(question: Question) -> list[Mapping[str, str]]:
    return ([question.texts] if question.texts else []) + list(question.answers)


def _asked(
    source: Source,
    question: Question,
    video: VideoExample,
    tokens: Mapping[str, list[np.ndarray]],
) -> Asked:
    num_answers = len(question.answers)
    lengths = [
        sum(map(len, parts[:-num_answers])) + max(map(len, parts[-num_answers:]))
        for parts in tokens.values()
    ]
    truth = [FALSE if question.label is not None else UNKNOWN] * num_answers
    if question.label is not None:
        truth[question.label] = TRUE
    return Asked(
        question.question_id,
        video,
        {
            code: tuple(
                pieces(source, [*parts[:-num_answers], answer])
                for answer in parts[-num_answers:]
            )
            for code, parts in tokens.items()
        },
        max(lengths),
        tuple(truth),
        _span(question, video),
    )


def _span(question: Question, video: VideoExample) -> tuple[int, int]:
    if question.moment is None:
        return NO_SPAN
    return align.span_of_moment(
        *question.moment, num_frames=video.num_frames, interval=video.video.interval
    )
