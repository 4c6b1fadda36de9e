"""Answers to typed queries: videos, and where in them, from a corpus encoded once."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from hero_jax.retrieval import answers
from hero_jax.retrieval.index import CorpusIndex, load_index, save_index
from hero_jax.retrieval.search import search
from hero_jax.retrieval.spans import SpanRules
from hero_jax.tasks.base import Answer
from hero_jax.tasks.encoder import Encoder, readings
from hero_jax.tasks.language_matrix import LanguageMatrix
from hero_jax.tasks.source import Source
from hero_jax.types import Array, Float

VIDEOS = "videos.json"
"""Beside the encoded corpora of a split: what they are and how long videos are."""


class SearchError(ValueError):
    """A request that cannot be answered; one line says why."""

    exit_code = 2


@dataclasses.dataclass(frozen=True)
class ReadVideos:
    """A split as it can be searched, whatever it is read from."""

    readings: tuple[str, ...]
    """Languages of the subtitles it can be read with, the usual one first; "none"."""
    durations: tuple[float, ...]
    """Seconds of each video, in the order of the corpus."""


@dataclasses.dataclass(frozen=True)
class MomentSearcher:
    """A trained moment retrieval model beside its corpus."""

    encoder: Encoder
    source: Source
    has_spans: bool
    rules: SpanRules
    corpora: Path | None = None
    """Where `save` wrote encoded corpora; None encodes those of the dataset."""

    def search(
        self, query: str, k: int = 10, *, split: str = "test", subtitles: str = ""
    ) -> list[Answer]:
        """The best `k` moments of the split's videos, best first.

        A model without a local objective answers with whole videos. The videos are
        read with the subtitles of one language, the first where none is named.
        """
        videos = _videos(self, split)
        subtitles = subtitles or videos.readings[0]
        if subtitles not in videos.readings:
            raise SearchError(
                f"subtitles: found {subtitles!r}, expected one of "
                f"{', '.join(videos.readings)}"
            )
        if k < 1:
            raise SearchError(f"k: found {k}, expected at least 1")
        tokens = self.source.load_tokenizer().encode([query])[0]
        if not query.strip() or not len(tokens):
            raise SearchError(f"query: found {query!r}, expected words to look for")
        vector = self.encoder.encode_query(self.source.as_query(tokens))
        index = _index(self, split, subtitles)
        return [
            Answer(index.video_ids[i], start, min(end, videos.durations[i]), score)
            for i, start, end, score in self._rows(vector, index, videos, k)
        ]

    def save(self, folder: Path, split: str) -> None:
        """Writes what `search` needs of a split: every video, in every reading."""
        videos = _videos(self, split)
        (folder / split).mkdir(parents=True)
        for reading in videos.readings:
            save_index(_index(self, split, reading), folder / split / reading)
        content = json.dumps(dataclasses.asdict(videos), indent=1)
        (folder / split / VIDEOS).write_text(content, "utf-8")

    def _rows(
        self,
        vector: Float[Array, "1 D"],
        index: CorpusIndex,
        videos: ReadVideos,
        k: int,
    ) -> list[tuple[int, float, float, float]]:
        """Place in the corpus, start and end in seconds, and score of each answer."""
        if not self.has_spans:
            found = search(vector, index, k)
            ranked = zip(found.videos[0].tolist(), found.scores[0].tolist())
            return [(i, 0.0, videos.durations[i], score) for i, score in ranked]
        probabilities = self.encoder.boundary_probabilities
        rules = dataclasses.replace(
            self.rules, max_videos=max(k, self.rules.max_videos)
        )
        _, rows = answers.corpus_moments(vector, index, probabilities, rules)
        return [(int(i), *rest) for i, *rest in rows[0][:k].tolist()]


@functools.lru_cache(maxsize=8)
def _videos(searcher: MomentSearcher, split: str) -> ReadVideos:
    if searcher.corpora is not None:
        return _saved_videos(searcher.corpora, split)
    examples = searcher.source.open(split)
    durations = tuple(video.duration for video in examples.corpus.videos)
    return ReadVideos(readings(examples), durations)


def _saved_videos(corpora: Path, split: str) -> ReadVideos:
    path = corpora / split / VIDEOS
    try:
        content: dict[str, Any] = json.loads(path.read_text("utf-8"))
        readings, durations = content["readings"], content["durations"]
    except FileNotFoundError:
        found = ", ".join(sorted(p.name for p in corpora.glob("*"))) or "none"
        raise SearchError(
            f"split: found {split!r}, but the splits that were encoded are {found}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise SearchError(f"{path}: damaged; export the run again") from None
    return ReadVideos(tuple(readings), tuple(durations))


@functools.lru_cache(maxsize=8)
def _index(searcher: MomentSearcher, split: str, reading: str) -> CorpusIndex:
    """The corpus as one model reads it; encoded once in a process."""
    if searcher.corpora is not None:
        index = load_index(searcher.corpora / split / reading)
        return dataclasses.replace(index, score=searcher.encoder.config.score)
    examples = searcher.source.open(split)
    matrix = LanguageMatrix(searcher.encoder, examples, has_spans=searcher.has_spans)
    return matrix.index(reading)
