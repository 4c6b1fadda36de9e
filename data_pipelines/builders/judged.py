"""TVQA, How2QA, VLEP, VIOLIN, TVC, YC2C and VATEX-EN-C as they were published (E.4).

    <dataset>_<split>.jsonl          questions, statements or captions; also
                                     <dataset>_<split>[_1k]_release.jsonl
    *subtitles[_<language>].jsonl    dialogue, English where no language is named; also
                                     *asr[_<language>].jsonl
    *video2dur_idx.json              durations, where the lines have none; without it
                                     frames tell (--features)

A split has the videos that its lines are about, in the order of their first line.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.frames import Frames, Timeline, raw_split
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request
from data_pipelines.readers.annotations import ALIASES, read_durations
from data_pipelines.readers.captions import read_captions
from data_pipelines.readers.errors import wrong
from data_pipelines.readers.fields import Row, checked_split, read_json_lines
from data_pipelines.readers.questions import read_questions
from data_pipelines.readers.reading import ENGLISH, Reading
from data_pipelines.readers.statements import read_statements
from data_pipelines.readers.subtitles import read_subtitle_lines
from data_pipelines.schema import (
    CaptionedMoment,
    Query,
    Question,
    Statement,
    Subtitle,
)

SUBTITLES = re.compile(r".*(?:subtitles|asr)(?:_([a-z]{2,3}))?\.jsonl")
"""Names of files of dialogue, with its language."""

Records = tuple[Any, ...]
Dialogues = Mapping[str, Mapping[str, tuple[Subtitle, ...]]]
"""Video id -> language -> lines."""


READERS: Mapping[str, Callable[[Path, Reading], Records]] = {
    "questions": read_questions,
    "statements": read_statements,
    "captions": read_captions,
}


@dataclasses.dataclass(frozen=True)
class Lines:
    """The lines of one split, read anew whenever they are asked for."""

    path: Path
    read: Callable[[Path], Iterable[Row]] = read_json_lines

    def __iter__(self) -> Iterator[Row]:
        return iter(self.read(self.path))


@dataclasses.dataclass(frozen=True)
class Release:
    """One pass over a folder."""

    dataset: str
    kind: str
    request: Request
    frames: Frames

    def files(self) -> dict[str, Lines]:
        """Split -> its lines, by the names of files."""
        name = rf"{self.dataset}_(.+?)(?:_1k)?(?:_release)?\.jsonl"
        found: dict[str, Lines] = {}
        for path, split in self.named(name):
            if split in found:
                problem = f"is the split {split!r}, as {found[split].path.name} is"
                raise wrong(path, "", problem, "keep one of them")
            found[split] = Lines(path)
        if not found:
            problem = f"found no {self.dataset}_<split>.jsonl"
            raise wrong(self.request.data_dir, "", problem, "is it the release?")
        return found

    def named(self, name: str) -> Iterator[tuple[Path, str]]:
        """Files of that name, and the split that its first group tells."""
        for path in sorted(self.request.data_dir.iterdir()):
            match = re.fullmatch(name, path.name)
            if match and not SUBTITLES.fullmatch(path.name):
                yield path, checked_split(match[1], path, "")

    def timelines(self, files: Mapping[str, Lines]) -> dict[str, list[Timeline]]:
        """The videos of each split that are kept, measured."""
        stated = {v: s for table in self.tables().values() for v, s in table.items()}
        stated |= _stated_by_lines(files.values())
        if not stated and self.request.features is None:
            problem = "found no *video2dur_idx.json, and no --features to measure"
            raise wrong(self.request.data_dir, "", problem, "give one of them")
        known: dict[str, Timeline | None] = {}
        measured: dict[str, list[Timeline]] = {}
        for split, lines in files.items():
            ids = self.videos(split, lines)
            for video_id in ids:
                if video_id not in known:
                    known[video_id] = self._timeline(video_id, stated, lines.path)
            measured[split] = [line for v in ids if (line := known[v])]
        return measured

    def videos(self, split: str, lines: Lines) -> Iterable[str]:
        """The videos of a split: those that its lines are about."""
        return dict.fromkeys(row.identifier("vid_name") for row in lines)

    def tables(self) -> dict[str, dict[str, float]]:
        """Split -> video -> seconds, where files say so."""
        files = sorted(self.request.data_dir.glob("*video2dur_idx.json"))
        tables: dict[str, dict[str, float]] = {}
        for file in files:
            for split, videos in read_durations(file).items():
                tables.setdefault(split, {}).update(videos)
        return tables

    def numbers(self, videos: Sequence[Timeline], split: str) -> dict[str, int]:
        """What the benchmark calls the videos of a split; only where all have one."""
        return {}

    def _timeline(
        self, video_id: str, stated: Mapping[str, float], path: Path
    ) -> Timeline | None:
        duration = stated.get(video_id)
        if duration is not None or self.request.features is not None:
            return self.frames.timeline(video_id, duration)
        if not self.request.allow_missing:
            problem = f"{video_id!r} has no duration in *video2dur_idx.json"
            remedy = "add it, or pass --allow_missing to drop the video"
            raise wrong(path, "vid_name", problem, remedy)
        self.request.tally.add("videos without a duration, dropped", path)
        return None

    def records(
        self, files: Mapping[str, Lines], timelines: Mapping[str, Sequence[Timeline]]
    ) -> dict[str, Records]:
        """What each split holds about the videos that are kept."""
        return {
            split: self.read(
                lines,
                Reading(
                    durations={v.video_id: v.duration for v in timelines[split]},
                    tally=self.request.tally,
                    allow_missing=self.request.allow_missing,
                    is_labelled=split == "train",
                ),
            )
            for split, lines in files.items()
        }

    def read(self, lines: Lines, reading: Reading) -> Records:
        return READERS[self.kind](lines.path, reading)

    def dialogues(self, timelines: Mapping[str, Sequence[Timeline]]) -> Dialogues:
        """What is said in the videos, from whichever subtitle files there are."""
        durations = {
            v.video_id: v.duration for ones in timelines.values() for v in ones
        }
        found: dict[str, dict[str, tuple[Subtitle, ...]]] = {}
        for path in sorted(self.request.data_dir.iterdir()):
            if not (match := SUBTITLES.fullmatch(path.name)):
                continue
            read = read_subtitle_lines(
                path,
                language=match[1] or ENGLISH,
                durations=durations,
                tally=self.request.tally,
                allow_missing=True,  # releases share subtitle files of whole shows
            )
            for video_id, lines in read.items():
                found.setdefault(video_id, {}).update(lines)
        for video_id in durations.keys() - found.keys():
            self.request.tally.add("videos without subtitles", video_id)
        return found

    def split(
        self,
        name: str,
        timelines: Sequence[Timeline],
        records: Records,
        dialogues: Dialogues,
        languages: Sequence[str],
    ) -> RawSplit:
        measured = [
            (
                line,
                {c: dialogues.get(line.video_id, {}).get(c, ()) for c in languages},
            )
            for line in timelines
        ]
        split = raw_split(measured, **{"queries": (), self.kind: records})
        numbers = self.numbers(timelines, name)
        return dataclasses.replace(split, video_numbers=numbers)


class JudgedBuilder(CorpusBuilder):
    """Reads one of them; `DATASET` begins the names of its files."""

    DATASET: ClassVar[str]
    KIND: ClassVar[str] = "questions"
    """The records that its lines become."""
    RELEASE: ClassVar[type[Release]] = Release

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        frames = Frames.of(request, request.features)
        release = cls.RELEASE(cls.DATASET, cls.KIND, request, frames)
        files = release.files()
        timelines = release.timelines(files)
        records = release.records(files, timelines)
        dialogues = release.dialogues(timelines)
        languages = languages_of(records)
        return frames.corpus(
            cls.DATASET,
            languages,
            {
                split: release.split(
                    split, timelines[split], records[split], dialogues, languages
                )
                for split in files
            },
        )


class Tvqa(JudgedBuilder):
    """Five answers a question, about TV shows."""

    DATASET = "tvqa"


class How2Qa(JudgedBuilder):
    """Four answers a question, about instructional videos."""

    DATASET = "how2qa"


class Vlep(JudgedBuilder):
    """Two events, one of which happens next."""

    DATASET = "vlep"


class Violin(JudgedBuilder):
    """Statements and their contraries."""

    DATASET = "violin"
    KIND = "statements"


class Tvc(JudgedBuilder):
    """Captions of moments in TV shows."""

    DATASET = "tvc"
    KIND = "captions"


class Yc2c(JudgedBuilder):
    """Captions of cooking videos, each a segment of a longer one."""

    DATASET = "yc2c"
    KIND = "captions"


class VatexEnC(JudgedBuilder):
    """Captions of short videos."""

    DATASET = "vatex_en_c"
    KIND = "captions"


def _stated_by_lines(files: Iterable[Lines]) -> dict[str, float]:
    """Seconds of the videos whose lines say so (TVC, YC2C, VATEX-C)."""
    return {
        row.identifier("vid_name"): row.seconds("duration")
        for lines in files
        for row in lines
        if row.has("duration") and row.has("vid_name")
    }


def languages_of(records: Mapping[str, Records]) -> tuple[str, ...]:
    """The languages that anything is written in, English first; machines' are none."""
    codes = {
        code
        for ones in records.values()
        for record in ones
        for texts in _texts(record)
        for code in texts
    } - set(ALIASES.values())
    return tuple(sorted(codes, key=lambda code: (code != ENGLISH, code)))


def _texts(
    record: Query | Question | Statement | CaptionedMoment,
) -> list[Mapping[str, str]]:
    if isinstance(record, CaptionedMoment):
        return [caption.texts for caption in record.captions]
    answers = record.answers if isinstance(record, Question) else ()
    return [record.texts, *answers]
