"""A corpus as the tasks read it: tokenised, aligned and measured once, then indexed."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Literal

import numpy as np

from data_pipelines import align, tokenizers
from data_pipelines.corpus import (
    open_corpus,
    read_fingerprint,
    read_manifest,
)
from data_pipelines.readers.errors import wrong
from data_pipelines.schema import Corpus, Query, Video
from hero_jax.tasks import packing
from hero_jax.tasks.packing import Segment

Channels = Literal["both", "video", "subtitles"]
NO_SPAN = (-1, -1)
"""Of a query without a known moment."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Which built dataset, read with which tokenizer."""

    directory: Path
    """Where `python -m data_pipelines.build` wrote it (its --out)."""
    dataset: str
    """The dataset's name: microtv, mtvr, mtvr_loo, ..."""
    tokenizer: Path
    """Path of a tokenizer that `data_pipelines.tokenizers.load` understands."""
    languages: tuple[str, ...] = ()
    """Languages to use; empty means all that the corpus has."""
    max_frames: int = 100
    """Videos are cut to this many frames (B.3); 100 is the official limit."""
    max_query_tokens: int = 60
    """Longer queries are cut to this many tokens, counting the first."""
    row_length: int = 128
    """Slots in a row of packed segments."""
    is_official: bool = False
    """Align subtitles to frames by the official one-owner rule (B.2)."""
    channels: Channels = "both"
    """What is read of a video: frames and subtitles, frames alone (B.7), or subtitles
    alone (B.8)."""
    reads_every_line: bool = False
    """Encode lines over no frame, too, and tell where each one stands, as VALUE's
    sequence model needs it (A.9)."""

    def open(self, split: str) -> "Examples":
        """One split, opened once per process."""
        return _open(self, split)

    @property
    def feature_width(self) -> int:
        """Of the frames; no record is read."""
        return read_manifest(self.directory, self.dataset).feature_width

    @property
    def used_languages(self) -> tuple[str, ...]:
        """Those named, or all that the corpus has; no record is read."""
        return self.languages or read_manifest(self.directory, self.dataset).languages

    def read_fingerprint(
        self, split: str
    ) -> tuple[dict[str, str | int], tuple[str, ...]]:
        """The dataset's own fingerprint and languages; no record is read."""
        return read_fingerprint(self.directory, self.dataset, split)

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        """What identifies the examples of a split, by field."""
        corpus, languages = self.read_fingerprint(split)
        names = ("max_frames", "max_query_tokens", "row_length", "is_official")
        return {
            **corpus,
            **{name: getattr(self, name) for name in names},
            **({} if self.channels == "both" else {"channels": self.channels}),
            **({"reads_every_line": True} if self.reads_every_line else {}),
            "languages": "+".join(self.languages or languages),
            "tokenizer": self.load_tokenizer().fingerprint,
        }

    def load_tokenizer(self) -> tokenizers.Tokenizer:
        return _load_tokenizer(self.tokenizer)

    def as_query(self, tokens: np.ndarray) -> np.ndarray:
        """A query's tokens behind `<s>`, cut to the limit (B.9)."""
        first = self.load_tokenizer().bos
        tokens = tokens[: self.max_query_tokens - 1]
        return np.concatenate([[first], tokens]).astype(np.int32)

    @property
    def separator(self) -> int:
        """The token before a line: `</s>`, or `<s>` where only one channel is read."""
        tokenizer = self.load_tokenizer()
        return tokenizer.eos if self.channels == "both" else tokenizer.bos

    def as_segments(self, line: Segment, first: int) -> list[Segment]:
        """A line behind the token `first`, in as many pieces as its length demands."""
        tokens = np.concatenate([[first], line.tokens]).astype(np.int32)
        return packing.split(Segment(tokens, line.frames), self.row_length)


@dataclasses.dataclass(frozen=True, eq=False)
class QueryText:
    """An annotated query of one video, tokenised in every language it has."""

    query_id: str
    kind: str
    tokens: Mapping[str, np.ndarray]
    span: tuple[int, int]
    """First and last frame, inclusive; (-1, -1) where unknown."""


@dataclasses.dataclass(frozen=True, eq=False)
class VideoExample:
    """One video with everything about it that is not random."""

    index: int
    video: Video
    num_frames: int
    lines: Mapping[str, tuple[Segment, ...]]
    """Per language one segment a subtitle, in order, without special tokens."""
    queries: tuple[QueryText, ...]


class Examples(Sequence[VideoExample]):
    """The videos of a split as examples, with their features beside them."""

    def __init__(self, source: Source, corpus: Corpus):
        self.source, self.corpus = source, corpus
        self.tokenizer = source.load_tokenizer()
        self.languages = source.languages or self.corpus.languages
        if not corpus.videos:
            problem = "has no videos, expected at least one"
            place = source.directory / source.dataset
            raise wrong(place, corpus.split, problem, "name another split")
        self.max_frames = max(self._num_frames(v) for v in self.corpus.videos)
        lines = [len(s) for v in self.corpus.videos for s in v.subtitles.values()]
        self.max_lines = max(lines, default=0)
        self.parallel = self._tokenise_parallel()
        self._examples, self.unlinked = self._tokenise()
        self.has_one_owner = all(map(_has_one_owner, self._examples))

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index):
        return self._examples[index]

    def features(self, index: int) -> np.ndarray:
        """Frame features of video `index`, [num_frames E], cut to the limit."""
        values = self.corpus.features[index]
        return values[: self._examples[index].num_frames]

    def _num_frames(self, video: Video) -> int:
        return min(video.num_frames, self.source.max_frames)

    def _tokenise(self) -> tuple[list[VideoExample], tuple[QueryText, ...]]:
        """The videos with their queries, and the queries of no known video."""
        videos, encode = self.corpus.videos, self.tokenizer.encode
        lines = {
            language: iter(
                encode([s.text for v in videos for s in v.subtitles.get(language, ())])
            )
            for language in self.languages
        }
        texts = {
            language: iter(
                encode(
                    [
                        q.texts[language]
                        for q in self.corpus.queries
                        if language in q.texts
                    ]
                )
            )
            for language in self.languages
        }
        queries: dict[str | None, list[tuple[Query, dict]]] = {}
        for query in self.corpus.queries:
            tokens = {
                language: self.source.as_query(next(texts[language]))
                for language in self.languages
                if language in query.texts
            }
            queries.setdefault(query.video_id, []).append((query, tokens))
        examples = [
            self._example(i, video, lines, queries.get(video.video_id, ()))
            for i, video in enumerate(videos)
        ]
        unlinked = (
            QueryText(query.query_id, query.kind, tokens, NO_SPAN)
            for query, tokens in queries.get(None, ())
        )
        return examples, tuple(unlinked)

    def _example(self, index, video, lines, queries) -> VideoExample:
        num_frames = self._num_frames(video)
        segments = {
            language: tuple(
                Segment(next(lines[language]), frames)
                for frames in self._frames_of_subtitles(video, language)
            )
            for language in self.languages
        }
        if self.source.channels == "video":
            whole = Segment(np.zeros(0, np.int32), np.arange(num_frames))
            segments = dict.fromkeys(segments, (whole,))
        return VideoExample(
            index,
            video,
            num_frames,
            segments,
            tuple(_query_text(q, t, video, num_frames) for q, t in queries),
        )

    def _frames_of_subtitles(self, video: Video, language: str) -> list[np.ndarray]:
        """Frames of every subtitle; none for those beyond the cut (B.3)."""
        official = self.source.is_official
        whole = align.frames_of_subtitles(
            video.subtitles.get(language, ()),
            num_frames=video.num_frames,
            interval=video.interval,
            official=official,
        )
        kept = dict(
            align.cut_frames(
                whole, max_frames=self.source.max_frames, official=official
            )
        )
        nothing = np.zeros(0, np.int32)
        return [kept.get(i, nothing) for i in range(len(whole))]

    def _tokenise_parallel(self) -> list[dict[str, np.ndarray]]:
        pairs = [
            {k: v for k, v in pair.items() if k in self.languages}
            for pair in self.corpus.parallel
        ]
        tokens = iter(self.tokenizer.encode([t for p in pairs for t in p.values()]))
        return [{k: self.source.as_query(next(tokens)) for k in pair} for pair in pairs]


def _query_text(query: Query, tokens: dict, video: Video, num_frames: int) -> QueryText:
    span = NO_SPAN
    if query.moments:
        span = align.span_of_moment(
            *query.moments[0], num_frames=num_frames, interval=video.interval
        )
    return QueryText(query.query_id, query.kind, tokens, span)


def _has_one_owner(example: VideoExample) -> bool:
    for segments in example.lines.values():
        frames = np.concatenate([s.frames for s in segments] or [np.zeros(0)])
        if len(np.unique(frames)) != len(frames):
            return False
    return True


def video_segments(
    source: Source, lines: Sequence[Segment], hidden: Set[int] = frozenset()
) -> tuple[Segment, ...]:
    """The segments read for a video: `</s>` and the line, or `</s>` alone if hidden.

    Lines over no frame are not encoded: nothing would read the result (H-19). Frames
    alone are one segment with `<s>` (B.7).
    """
    shown = [
        Segment(np.zeros(0, np.int32), line.frames) if i in hidden else line
        for i, line in enumerate(lines)
        if len(line.frames) or source.reads_every_line
    ]
    first = source.separator
    return tuple(s for line in shown for s in source.as_segments(line, first))


@functools.lru_cache(maxsize=16)
def _open(source: Source, split: str) -> Examples:
    return Examples(source, open_corpus(source.directory, source.dataset, split))


@functools.lru_cache(maxsize=4)
def _load_tokenizer(path: Path) -> tokenizers.Tokenizer:
    return tokenizers.load(path)
