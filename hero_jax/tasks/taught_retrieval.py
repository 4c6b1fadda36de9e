"""Retrieval that learns from teachers who read everything in one language (C2KD).

    student    queries and subtitles in the languages drawn   -> scores, learnt
    teachers   the same queries and subtitles in English      -> scores, given

Teachers are encoders of other runs (`TrainConfig.encoders`). What is held out from the
student is held out from them, and nothing of them changes. Objective: `Distillation`.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.losses import Objective
from hero_jax.losses.distillation import Distillation
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.tasks import packing
from hero_jax.tasks.collate import collate_texts, collate_videos, rows_needed
from hero_jax.tasks.moment_head import MomentBatch, MomentHead, MomentPredictions
from hero_jax.tasks.moment_retrieval import (
    NO_TEXT,
    MomentRetrieval,
    PreparedMoment,
    PreparedQuery,
    twin_of,
)
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.source import VideoExample, video_segments
from hero_jax.types import Array, Float

DOUBTLESS = 1.0
"""Cosine of a pair that a teacher without the query's text is sure of."""


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class TaughtBatch(MomentBatch):
    """What the student reads, and the same in the language of the teachers."""

    teacher_videos: VideoBatch
    """Without frames of their own: those of the student's videos are theirs."""
    teacher_queries: TextBatch


class TaughtHead(nn.Module):
    """The student's scores beside those of every teacher."""

    objective: Objective
    has_frame_scores: bool
    teachers: tuple[HeroConfig, ...]

    @nn.compact
    def __call__(
        self, hero: Hero, batch: TaughtBatch, *, train: bool = False
    ) -> MomentPredictions:
        own = MomentHead(self.objective, self.has_frame_scores, name="student")
        predictions = own(hero, batch, train=train)
        scores = [
            self._scores(Hero(config, name=f"teacher_{number}"), batch)
            for number, config in enumerate(self.teachers)
        ]
        taught = jax.lax.stop_gradient(jnp.stack(scores))
        return dataclasses.replace(predictions, teacher_scores=taught)

    def _scores(self, teacher: Hero, batch: TaughtBatch) -> Float[Array, "Q B"]:
        """Of a query that the teacher's language lacks, certainty of the true video:
        what is left of the loss there is InfoNCE."""
        features = batch.videos.features
        videos = dataclasses.replace(batch.teacher_videos, features=features)
        frames = teacher.encode_videos(videos)
        queries = teacher.encode_queries(batch.teacher_queries)
        scores = teacher.video_scores(queries, frames, videos.frame_mask)
        true = jax.nn.one_hot(batch.video_of, scores.shape[1], dtype=scores.dtype)
        certain = DOUBTLESS * (2 * true - 1)
        return jnp.where(batch.teacher_queries.mask[:, None], scores, certain)


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedTaught(PreparedMoment):
    """A video for the student, and for the teachers."""

    taught_segments: tuple[Segment, ...]
    """The segments that teachers read."""
    taught_queries: tuple[np.ndarray, ...]
    """Tokens in the teachers' language, one for each of the student's slots."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaughtRetrieval(MomentRetrieval):
    """`MomentRetrieval` with teachers."""

    objective: Objective = Distillation()
    """Reads `vectors["teacher_scores"]`."""
    teachers: tuple[HeroConfig, ...] = ()
    """Their configurations, in order; they read tokens as the student does."""
    teacher_language: str = "en"
    """What they read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teachers:
            raise ValueError("TaughtRetrieval: teachers: found none; name at least one")
        if self.switch_rate:
            raise ValueError(
                f"TaughtRetrieval: switch_rate {self.switch_rate}: teachers would "
                "score other texts than the student reads; set it to 0"
            )

    def prepare(
        self, example: VideoExample, rng: np.random.Generator, share: float
    ) -> PreparedTaught:
        if self.teacher_language not in example.lines:
            raise ValueError(
                f"TaughtRetrieval: teacher_language: found {self.teacher_language}, "
                f"expected one of {', '.join(example.lines)}"
            )
        own = super().prepare(example, rng, share)
        queries = tuple(self._translated(own, query) for query in self._padded(own))
        segments = self._taught_segments(own)
        return PreparedTaught(
            **fields_of(own), taught_segments=segments, taught_queries=queries
        )

    def collate(
        self,
        groups: Sequence[Sequence[PreparedMoment]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[TaughtBatch, dict[str, int]]:
        own, used = super().collate(groups, capacity, split=split, local=local, rng=rng)
        taught = typing.cast(Sequence[Sequence[PreparedTaught]], groups)
        examples, theirs = self.source.open(split), _of_teachers(capacity)
        videos, plans = collate_videos(
            examples,
            [[(p.example, p.taught_segments) for p in group] for group in taught],
            theirs,
            local=slice(0),
        )
        tokens = [
            [text for p in group for text in p.taught_queries] for group in taught
        ]
        texts, query_rows = collate_texts(examples, tokens, theirs)
        nothing: Any = None
        batch = TaughtBatch(
            **fields_of(own),
            teacher_videos=dataclasses.replace(videos, features=nothing),
            teacher_queries=texts,
        )
        sizes = {"teacher_rows": rows_needed(plans), "teacher_query_rows": query_rows}
        return batch, used | sizes

    def head(self) -> nn.Module:
        return TaughtHead(self.objective, self.frames is not None, self.teachers)

    def portable(self) -> MomentRetrieval:
        """A searching model needs no teachers."""
        own = {f.name for f in dataclasses.fields(MomentRetrieval)}
        return MomentRetrieval(**{n: getattr(self, n) for n in own}).portable()

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        return super().fingerprint(split) | {"teacher_language": self.teacher_language}

    def _taught_segments(self, own: PreparedMoment) -> tuple[Segment, ...]:
        """The video's subtitles as teachers read them, the same lines held out."""
        language, example = self.teacher_language, own.example
        twins = (twin_of(example, n, own.language, language) for n in own.hidden)
        spoken = () if own.is_silent else example.lines[language]
        lines = packing.with_context(spoken, self.context)
        return video_segments(self.source, lines, {n for n in twins if n is not None})

    def _translated(self, own: PreparedMoment, query: PreparedQuery) -> np.ndarray:
        """The query in the teachers' language; empty where that has none."""
        language = self.teacher_language
        if query.annotated is not None:
            return query.annotated.tokens.get(language, NO_TEXT)
        if query.line is None:
            return NO_TEXT
        twin = twin_of(own.example, query.line, own.language, language)
        if twin is None:
            return NO_TEXT
        return self.source.as_query(own.example.lines[language][twin].tokens)


def _of_teachers(capacity: Mapping[str, int]) -> dict[str, int]:
    """The sizes of what teachers read, by the names that packing knows."""
    return {
        name.removeprefix("teacher_"): size
        for name, size in capacity.items()
        if name == "multiple" or name.startswith("teacher_")
    }


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, to make another with more of them."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
