"""How well a trained model finds videos and moments, for every pair of languages.

for each subtitle language (and none):   encode the corpus once
    for each query language:             search it, point into the best videos, count
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.files import write_whole
from hero_jax.metrics import chance, predictions, summary
from hero_jax.retrieval import answers
from hero_jax.retrieval.index import CorpusIndex, build_index
from hero_jax.retrieval.search import Found, search, true_ranks
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks.encoder import Encoder, readings
from hero_jax.tasks.source import Examples, QueryText
from hero_jax.types import Float


@dataclasses.dataclass(frozen=True)
class Asked:
    """The queries of a split in one language; those whose video is known come first."""

    queries: tuple[QueryText, ...]
    vectors: Float[np.ndarray, "Q D"]
    videos: np.ndarray
    """Place of the true video in the corpus, for the first of the queries."""
    moments: tuple[np.ndarray, ...]
    """True moments [N 2] of each of these in seconds."""

    @property
    def num_linked(self) -> int:
        """Queries whose video is known."""
        return len(self.videos)


@dataclasses.dataclass(frozen=True)
class Answered:
    """What one language matrix cell consists of."""

    found: Found
    vcmr: list[np.ndarray] | None
    """Moments in the whole corpus, for every query."""
    svmr: list[np.ndarray] | None
    """Moments in the true video, for the queries that have one."""


@dataclasses.dataclass(frozen=True)
class LanguageMatrix:
    """A model on a split."""

    encoder: Encoder
    examples: Examples
    has_spans: bool
    """Whether the model was trained to point at moments."""
    rules: SpanRules = SpanRules()
    video_numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What prediction files call the videos; empty counts them."""

    @property
    def readings(self) -> tuple[str, ...]:
        """Languages of the subtitles that the videos are read with, "none" last."""
        return readings(self.examples)

    def results(
        self, predictions_dir: Path | None = None
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """results[query language][subtitle language]; a prediction file for each."""
        results: dict[str, dict[str, Any]] = {}
        for language, subtitles, asked, answered, index in self._answers():
            known = self.known(asked, answered, index)
            row = results.setdefault(language, {})
            row[subtitles] = summary.summary(known, self.candidate_spans(index))
            if predictions_dir is not None:
                path = predictions_dir / f"{language}-{subtitles}.json"
                self.write(path, asked, answered)
        return results

    def ranks(self) -> dict[str, dict[str, summary.Ranks]]:
        """Of every query whose video is known, by query and subtitle language."""
        ranks: dict[str, dict[str, summary.Ranks]] = {}
        for language, subtitles, asked, answered, index in self._answers():
            known = self.known(asked, answered, index)
            ranks.setdefault(language, {})[subtitles] = summary.Ranks.of(known)
        return ranks

    def _answers(self) -> Iterator[tuple[str, str, Asked, Answered, CorpusIndex]]:
        """Every query language asked of every reading of the corpus."""
        asked = {language: self.ask(language) for language in self.examples.languages}
        for subtitles in self.readings:
            index = self.index(subtitles)
            for language, queries in asked.items():
                answered = self.answer(queries, index)
                yield language, subtitles, queries, answered, index

    def ask(self, language: str) -> Asked:
        """All queries of the split that exist in a language, encoded."""
        linked = [
            (query, example.index)
            for example in self.examples
            for query in example.queries
            if language in query.tokens
        ]
        unlinked = [q for q in self.examples.unlinked if language in q.tokens]
        queries = (*(query for query, _ in linked), *unlinked)
        texts = [query.tokens[language] for query in queries]
        moments = {q.query_id: q.moments for q in self.examples.corpus.queries}
        return Asked(
            queries,
            np.asarray(self.encoder.encode_queries(texts, self.examples)),
            np.array([video for _, video in linked], int),
            tuple(np.array(moments[q.query_id]).reshape(-1, 2) for q, _ in linked),
        )

    def index(self, subtitles: str) -> CorpusIndex:
        """The corpus read with the subtitles of one language, or with none."""
        frames = self.encoder.encode_corpus(self.examples, subtitles)
        videos = [example.video for example in self.examples]
        index = build_index(
            [video.video_id for video in videos],
            [f[: e.num_frames] for f, e in zip(frames, self.examples)],
            [video.interval for video in videos],
            fingerprint=subtitles,
        )
        return dataclasses.replace(index, score=self.encoder.config.score)

    def answer(self, asked: Asked, index: CorpusIndex) -> Answered:
        """The best videos, the best moments anywhere, and those in the true video."""
        if not self.has_spans:
            found = search(asked.vectors, index, self.rules.max_videos)
            return Answered(found, None, None)
        probabilities = self.encoder.boundary_probabilities
        found, vcmr = answers.corpus_moments(
            asked.vectors, index, probabilities, self.rules
        )
        linked = asked.vectors[: asked.num_linked]
        svmr = answers.video_moments(
            linked, index, asked.videos, probabilities, self.rules
        )
        return Answered(found, vcmr, svmr)

    def known(
        self, asked: Asked, answered: Answered, index: CorpusIndex
    ) -> summary.Answers:
        """What was answered to the queries whose video is known."""
        vectors = asked.vectors[: asked.num_linked]
        ranks = true_ranks(vectors, index, asked.videos)
        return self.known_by(asked, answered, np.asarray(ranks))

    def known_by(
        self, asked: Asked, answered: Answered, ranks: np.ndarray
    ) -> summary.Answers:
        """The same, with the ranks of the true videos."""
        linked = slice(asked.num_linked)
        return summary.Answers(
            video_ranks=ranks,
            videos=asked.videos.tolist(),
            moments=[list(map(tuple, m)) for m in asked.moments],
            kinds=[query.kind for query in asked.queries[linked]],
            svmr=answered.svmr,
            vcmr=None if answered.vcmr is None else answered.vcmr[linked],
        )

    def candidate_spans(self, index: CorpusIndex) -> list[np.ndarray]:
        """All spans of each video that could be predicted, [N 2] in seconds."""
        return [
            chance.candidate_spans(
                num_frames,
                interval,
                min_frames=self.rules.min_frames,
                max_frames=self.rules.max_frames,
            )
            for num_frames, interval in zip(index.num_frames, index.intervals)
        ]

    def write(self, path: Path, asked: Asked, answered: Answered) -> None:
        """A prediction file in the format of TVR submissions."""
        found = answered.found
        rows: dict[str, Sequence[np.ndarray | None]] = {
            "VR": predictions.video_rows(*map(np.asarray, (found.videos, found.scores)))
        }
        if answered.vcmr is not None and answered.svmr is not None:
            unknown = [None] * (len(asked.queries) - asked.num_linked)
            rows |= {"VCMR": answered.vcmr, "SVMR": [*answered.svmr, *unknown]}
        indices = {e.video.video_id: e.index for e in self.examples}
        if self.video_numbers:
            indices = {name: self.video_numbers[name] for name in indices}
        content = predictions.submission(
            [query.query_id for query in asked.queries], indices, rows
        )
        write_whole(path, json.dumps(content, ensure_ascii=False))
