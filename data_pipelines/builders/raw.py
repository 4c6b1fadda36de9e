"""What the reader of a release hands to the writer: checked records, split by split."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_pipelines.readers.errors import Tally
from data_pipelines.readers.packed import StoredFrames
from data_pipelines.schema import (
    SCHEMA_VERSION,
    CaptionedMoment,
    Query,
    Question,
    Statement,
    Tokens,
    Video,
)

NO_FEATURES_WIDTH = 8
"""Width of the zero frames of a corpus without features; nothing is stored for them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What to build, from where: the options of `python -m data_pipelines.build`."""

    data_dir: Path
    """The raw release."""
    features: Path | None = None
    """Folder of `<video_id>.npz` files, key `features`, [frames, width]."""
    interval: float = 1.5
    """Seconds between frames."""
    workers: int = 1
    """Processes that extract features and write shards."""
    fold: int = 0
    """Which of the five folds is tested, of datasets that have folds."""
    allow_missing: bool = False
    """Drop videos without features and queries of unknown videos, with a count."""
    cache: Path = Path("features")
    """Where frames extracted from videos are kept between builds."""
    tally: Tally = dataclasses.field(default_factory=Tally, compare=False)


@dataclasses.dataclass(frozen=True)
class RawSplit:
    """One split; `feature_files` holds one file per video, or none at all."""

    videos: tuple[Video, ...]
    queries: tuple[Query, ...] = ()
    parallel: tuple[Mapping[str, str], ...] = ()
    feature_files: tuple[Path | StoredFrames, ...] = ()
    questions: tuple[Question, ...] = ()
    statements: tuple[Statement, ...] = ()
    captions: tuple[CaptionedMoment, ...] = ()
    tokens: tuple[Tokens, ...] = ()
    video_numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What the benchmark calls the videos, all of them or none."""

    def texts(self) -> Iterator[Any]:
        """Every record but the frames."""
        yield from (*self.videos, *self.queries, *self.parallel)
        yield from (*self.questions, *self.statements, *self.captions, *self.tokens)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RawCorpus:
    """A whole dataset before it is written."""

    name: str
    languages: tuple[str, ...]
    """Languages that are searched in; texts may hold more, for training."""
    interval: float
    splits: Mapping[str, RawSplit]
    feature_width: int = NO_FEATURES_WIDTH
    feature_dtype: str | None = None
    """float16 or float32; None where there are no features."""
    special_tokens: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def digest(self) -> str:
        """Changes with any record and any feature file (by name, size and date)."""
        found = hashlib.sha256(f"{SCHEMA_VERSION} {self.feature_dtype}".encode())
        found.update(repr((self.name, self.languages, self.interval)).encode())
        if self.special_tokens:
            found.update(repr(self.special_tokens).encode())
        for name, split in self.splits.items():
            for record in (name, *split.texts()):
                found.update(repr(record).encode())
            if split.video_numbers:
                found.update(repr(sorted(split.video_numbers.items())).encode())
            for file in split.feature_files:
                state = file_state(file) if isinstance(file, Path) else file.state()
                found.update(repr(state).encode())
        return found.hexdigest()


def file_state(file: Path) -> tuple[str, int, int]:
    """Name, size and date of a file: what changes when it does."""
    state = file.stat()
    return file.name, state.st_size, state.st_mtime_ns
