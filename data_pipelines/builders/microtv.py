"""microtv, or any corpus laid out like it: video files, .srt files and annotations.

manifest.json                      languages and the videos of each split
videos/<video_id>.mp4
subtitles/<video_id>.<language>.srt
annotations/tvr_<split>.jsonl
annotations/{tvqa,violin,tvc}_<split>.jsonl   where there are any
"""

import collections
import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.frames import Frames, Timeline, raw_split
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request, file_state
from data_pipelines.features.extract import SUFFIXES, extract_features
from data_pipelines.features.extractor import PixelExtractor
from data_pipelines.features.reader import VideoFileError
from data_pipelines.files import write_whole
from data_pipelines.readers.annotations import read_annotations
from data_pipelines.readers.captions import read_captions
from data_pipelines.readers.errors import InputError, found, wrong
from data_pipelines.readers.fields import (
    Row,
    checked_id,
    checked_language,
    checked_split,
    read_json,
)
from data_pipelines.readers.questions import read_questions
from data_pipelines.readers.reading import Reading
from data_pipelines.readers.statements import read_statements
from data_pipelines.readers.subtitles import read_subtitle_file
from data_pipelines.schema import Subtitle

T = TypeVar("T")

FORMAT = 1
"""The layout above."""
DATASETS = ("tvr", "tvqa", "violin", "tvc")
"""What annotation files may be about."""


class MicroTv(CorpusBuilder):
    """The generated bilingual corpus."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        """Frames come from `request.features`, else they are extracted from videos."""
        row = read_json(request.data_dir / "manifest.json")
        if (version := row.typed("format", int, "a whole number")) != FORMAT:
            raise row.wrong("format", f"found {found(version)}, expected {FORMAT}")
        languages, splits = _languages(row), _splits(row)
        _count_strays(request, languages, splits)
        frames = Frames.of(request, request.features or _extracted(request, splits))
        reader = _Reader(request, languages, frames)
        return frames.corpus(
            "microtv",
            languages,
            {split: reader.split(split, ids) for split, ids in splits.items()},
        )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One pass over the release."""

    request: Request
    languages: Sequence[str]
    frames: Frames
    seen: Mapping[str, dict[str, str]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(dict)
    )
    """Dataset -> id -> where it was used."""

    def split(self, split: str, video_ids: Sequence[str]) -> RawSplit:
        annotations = read_annotations(
            self.request.data_dir / "annotations" / f"tvr_{split}.jsonl",
            videos=dict.fromkeys(video_ids),
            languages=self.languages,
            seen=self.seen["tvr"],
            tally=self.request.tally,
            is_linked=split != "test",
            allow_missing=self.request.allow_missing,
        )
        timelines = [
            self.frames.timeline(video_id, annotations.durations.get(video_id))
            for video_id in video_ids
        ]
        measured = [(line, self._subtitles(line)) for line in timelines if line]
        known = dict.fromkeys(video_ids) | {
            line.video_id: line.duration for line, _ in measured
        }
        return raw_split(
            measured,
            annotations.queries,
            questions=self._others("tvqa", split, known, read_questions),
            statements=self._others("violin", split, known, read_statements),
            captions=self._others("tvc", split, known, read_captions),
        )

    def _others(
        self,
        dataset: str,
        split: str,
        durations: Mapping[str, float | None],
        read: Callable[[Path, Reading], tuple[T, ...]],
    ) -> tuple[T, ...]:
        """The records of a file that the corpus need not have."""
        file = self.request.data_dir / "annotations" / f"{dataset}_{split}.jsonl"
        if not os.path.lexists(file):  # a link that leads nowhere is no absence
            return ()
        reading = Reading(
            durations=durations,
            tally=self.request.tally,
            languages=self.languages,
            allow_missing=self.request.allow_missing,
            is_labelled=split == "train",
            seen=self.seen[dataset],
        )
        return read(file, reading)

    def _subtitles(self, video: Timeline) -> Mapping[str, tuple[Subtitle, ...]]:
        """What is said in the video, by language; a silent video has empty files."""
        folder = self.request.data_dir / "subtitles"
        return {
            language: read_subtitle_file(
                folder / f"{video.video_id}.{language}.srt",
                duration=video.duration,
                tally=self.request.tally,
            )
            for language in self.languages
        }


def _languages(row: Row) -> tuple[str, ...]:
    values = row.typed("languages", list, "a list of language codes")
    if not values or not all(isinstance(value, str) for value in values):
        problem = f"expected a list of language codes, found {found(values)}"
        raise row.wrong("languages", problem)
    for i, value in enumerate(values):
        checked_language(value, row.place, "languages")
        if value.lower() in [other.lower() for other in values[:i]]:
            problem = f"{found(value)} is listed already"
            raise row.wrong("languages", problem, "list every language once")
    return tuple(values)


def _splits(row: Row) -> dict[str, list[str]]:
    """Split -> video ids; no video is in two."""
    table, known = row.row("splits"), dict[str, str]()
    splits = {}
    if not table.values:
        raise row.wrong("splits", "holds no split", 'write {"train": ["v1", ...], ...}')
    for split in table.values:
        checked_split(split, row.place, "splits")
        splits[split] = table.typed(split, list, "a list of video ids")
        if not splits[split]:
            problem = "holds no video, expected at least one"
            raise table.wrong(split, problem, "list some, or remove the split")
        for video_id in splits[split]:
            if not isinstance(video_id, str):
                problem = f"expected video ids, found {found(video_id)}"
                raise table.wrong(split, problem)
            checked_id(video_id, row.place, f"splits.{split}")
            if video_id in known:
                problem = f"{found(video_id)} is in {known[video_id]} already"
                raise table.wrong(split, problem, "list every video once")
            known[video_id] = split
    return splits


def _count_strays(
    request: Request, languages: Sequence[str], splits: Mapping[str, Sequence[str]]
) -> None:
    """Files that the manifest does not ask for; one of them may be misnamed."""
    ids = [video_id for videos in splits.values() for video_id in videos]
    asked = {
        "subtitles": {f"{v}.{code}.srt" for v in ids for code in languages},
        "annotations": {f"{d}_{s}.jsonl" for d in DATASETS for s in splits},
    }
    for folder, names in asked.items():
        for file in sorted((request.data_dir / folder).glob("[!.]*")):
            if file.name not in names:
                oddity = f"files in {folder}/ that manifest.json does not ask for"
                request.tally.add(f"{oddity}, ignored", file)


def _extracted(request: Request, splits: Mapping[str, Sequence[str]]) -> Path:
    """Frame features of the videos, extracted once and kept until the videos change."""
    extractor = PixelExtractor()
    videos = request.data_dir / "videos"
    if not videos.is_dir():
        raise wrong(videos, "", "is missing", "or pass --features DIR")
    _check_videos(request, videos, splits)
    states = [file_state(file) for file in sorted(videos.iterdir())]
    made_from = hashlib.sha256(
        repr((extractor, request.interval, states)).encode()
    ).hexdigest()
    stamp = request.cache / "videos.sha256"
    if not stamp.exists() or stamp.read_text() != made_from:
        shutil.rmtree(request.cache, ignore_errors=True)
        request.cache.mkdir(parents=True)
        write_whole(stamp, made_from)
    try:
        extract_features(
            videos,
            request.cache,
            extractor=extractor,
            interval=request.interval,
            workers=request.workers,
        )
    except VideoFileError as error:
        raise InputError(str(error)) from None
    return request.cache


def _check_videos(
    request: Request, folder: Path, splits: Mapping[str, Sequence[str]]
) -> None:
    """Every listed video has a file; with `allow_missing` it is dropped later on."""
    there = {file.stem for file in folder.iterdir() if file.suffix.lower() in SUFFIXES}
    for split, ids in splits.items():
        for video_id in ids:
            if video_id not in there and not request.allow_missing:
                problem = f"is missing, and manifest.json lists it in splits.{split}"
                remedy = "add the video, or pass --allow_missing to drop it"
                raise wrong(folder / f"{video_id}.mp4", "", problem, remedy)
