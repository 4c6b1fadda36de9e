"""The records: what a dataset hands out. Plain numpy; times are in seconds."""

import array
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

SCHEMA_VERSION = 1
"""Written into every dataset; a reader refuses any other."""


@dataclasses.dataclass(frozen=True)
class Subtitle:
    """One line of dialogue; `start` and `end` in seconds."""

    text: str
    start: float
    end: float


@dataclasses.dataclass(frozen=True)
class Video:
    """One item of a corpus, without its frame features.

    `num_frames` feature vectors, one every `interval` seconds. `subtitles` holds one
    ordered tuple per language code; a language without subtitles is an empty tuple.
    """

    video_id: str
    duration: float
    interval: float
    num_frames: int
    subtitles: Mapping[str, tuple[Subtitle, ...]]


@dataclasses.dataclass(frozen=True)
class Query:
    """A text somebody searches with, in one or more languages.

    `video_id` and `moments` (pairs of seconds; more than one when several people
    annotated it) are None and empty where the ground truth is not published. `kind`
    is the query type: "v" vision, "t" subtitles, "vt" both, "" unknown.
    """

    query_id: str
    texts: Mapping[str, str]
    video_id: str | None = None
    moments: tuple[tuple[float, float], ...] = ()
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class Question:
    """Answers to choose from, for a question about a video.

    `texts` is empty where there is no question, only events one of which follows
    (VLEP). `label` counts the answers from 0 and is None where it is not published.
    `moment` (seconds) is what the question is about; None where nobody said.
    """

    question_id: str
    video_id: str
    texts: Mapping[str, str]
    answers: tuple[Mapping[str, str], ...]
    label: int | None = None
    moment: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Statement:
    """A sentence that a video bears out or not; None where that is not published.

    `opposite` is the id of the statement that says the contrary, "" without one.
    """

    statement_id: str
    video_id: str
    texts: Mapping[str, str]
    is_true: bool | None = None
    opposite: str = ""


@dataclasses.dataclass(frozen=True)
class Caption:
    """What one person wrote about a moment; `kind` as for a query."""

    caption_id: str
    texts: Mapping[str, str]
    kind: str = ""


@dataclasses.dataclass(frozen=True)
class CaptionedMoment:
    """A moment (seconds), or a whole video (None), and the captions written about it.

    `captions` is empty where they are not published.
    """

    moment_id: str
    video_id: str
    moment: tuple[float, float] | None = None
    captions: tuple[Caption, ...] = ()


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Token ids of one record's texts, as the database it came from holds them.

    `kind` and `record_id` name the record: "videos", "queries" and so on. `texts` are
    its subtitles, a question and its answers, or captions, in order, without special
    tokens (those are in `Corpus.special_tokens`).
    """

    kind: str
    record_id: str
    texts: tuple[array.array, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """One opened split: videos, their features and what is asked about them."""

    name: str
    split: str
    languages: tuple[str, ...]
    videos: Sequence[Video]
    queries: Sequence[Query]
    features: Sequence[np.ndarray]
    """features[i] is a float array [num_frames, width] for videos[i], read lazily."""
    feature_width: int
    fingerprint: Mapping[str, str | int]
    """What identifies these bytes: name, split, version, counts, digest."""
    parallel: Sequence[Mapping[str, str]] = ()
    """Texts that translate one another and belong to no video (language -> text)."""
    questions: Sequence[Question] = ()
    statements: Sequence[Statement] = ()
    captions: Sequence[CaptionedMoment] = ()
    tokens: Sequence[Tokens] = ()
    """Where the dataset was converted from databases; elsewhere texts are tokenised."""
    video_numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What the benchmark calls the videos in answers; empty where nothing says so."""
    special_tokens: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """BOS, SEP and so on, for `tokens`; V_FIRST and V_END bound the ordinary ones."""
