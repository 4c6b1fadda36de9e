"""The frames of a release's videos: counted in feature files, or told by the clock."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from data_pipelines.builders.raw import (
    NO_FEATURES_WIDTH,
    RawCorpus,
    RawSplit,
    Request,
)
from data_pipelines.readers import features
from data_pipelines.readers.errors import Tally, wrong
from data_pipelines.schema import (
    CaptionedMoment,
    Query,
    Question,
    Statement,
    Subtitle,
    Video,
)


@dataclasses.dataclass(frozen=True)
class Timeline:
    """How long a video lasts (seconds), in how many frames, from which file."""

    video_id: str
    duration: float
    interval: float
    num_frames: int
    file: Path | None

    def video(self, subtitles: Mapping[str, tuple[Subtitle, ...]]) -> Video:
        return Video(
            self.video_id, self.duration, self.interval, self.num_frames, subtitles
        )


@dataclasses.dataclass
class Frames:
    """Measures videos one by one; remembers what their feature files agree on."""

    folder: Path | None
    interval: float
    allow_missing: bool
    tally: Tally
    first: features.Header | None = None
    """The header of the first file, which the others must match."""

    @classmethod
    def of(cls, request: Request, folder: Path | None) -> "Frames":
        return cls(folder, request.interval, request.allow_missing, request.tally)

    def timeline(self, video_id: str, duration: float | None) -> Timeline | None:
        """None for a video that is dropped; no `duration` means as long as its frames.

        Without a folder of feature files the frames are what the duration holds.
        """
        if self.folder is None:
            assert duration is not None, "without features a release states durations"
            num_frames = frames_in(duration, self.interval)
            return Timeline(video_id, duration, self.interval, num_frames, None)
        file = self.folder / f"{video_id}.npz"
        if self.allow_missing and not file.exists():
            self.tally.add("videos without features, dropped with their queries", file)
            return None
        num_frames = self._header(file).num_frames
        length = num_frames * self.interval
        duration = length if duration is None else duration
        if abs(length - duration) > max(2 * self.interval, 0.05 * duration):
            self.tally.add("feature files not as long as their video, kept", file)
        return Timeline(video_id, duration, self.interval, num_frames, file)

    def _header(self, file: Path) -> features.Header:
        width = self.first.width if self.first else None
        header = features.read_header(file, width=width)
        self.first = self.first or header
        kept, expected = header.stored_dtype, self.first.stored_dtype
        if kept != expected:
            problem = f"is {header.dtype}, expected {expected} as in the other files"
            raise wrong(file, features.KEY, problem, "store all videos alike")
        return header

    def corpus(
        self, name: str, languages: Iterable[str], splits: Mapping[str, RawSplit]
    ) -> RawCorpus:
        """The splits as a corpus with the width and type of features seen so far."""
        return RawCorpus(
            name=name,
            languages=tuple(languages),
            interval=self.interval,
            splits=splits,
            feature_width=self.first.width if self.first else NO_FEATURES_WIDTH,
            feature_dtype=self.first.stored_dtype.name if self.first else None,
        )


def frames_in(duration: float, interval: float) -> int:
    """Frames of `interval` seconds that cover `duration` seconds, at least one."""
    # Rounded, so that 4.5 s are 3 frames of 1.5 s whatever the last bit says.
    return max(1, math.ceil(round(duration / interval, 6)))


def raw_split(
    measured: Iterable[tuple[Timeline, Mapping[str, tuple[Subtitle, ...]]]],
    queries: Iterable[Query],
    parallel: Iterable[Mapping[str, str]] = (),
    *,
    questions: Iterable[Question] = (),
    statements: Iterable[Statement] = (),
    captions: Iterable[CaptionedMoment] = (),
) -> RawSplit:
    """Videos with their subtitles, and what is asked about them or about none."""
    measured = list(measured)
    known = {timeline.video_id for timeline, _ in measured} | {None}
    return RawSplit(
        videos=tuple(timeline.video(subtitles) for timeline, subtitles in measured),
        queries=tuple(query for query in queries if query.video_id in known),
        parallel=tuple(parallel),
        feature_files=tuple(line.file for line, _ in measured if line.file),
        questions=tuple(one for one in questions if one.video_id in known),
        statements=tuple(one for one in statements if one.video_id in known),
        captions=tuple(one for one in captions if one.video_id in known),
    )
