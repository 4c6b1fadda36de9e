"""mTVR, the TV show queries in English and Chinese, as its authors published them.

    tvr_video2dur_idx.json                          durations of all videos, by split
    tvr_zh_en_<split>_release.jsonl                 queries; two splits hold texts alone
    tvqa_preprocessed_subtitles[_<language>].jsonl  dialogue, where somebody has it

The machine translations into Chinese (`google_zh`) are kept under the private-use code
`zh-x-google`: material for training and for a baseline, not a language searched in.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.builders.base import CorpusBuilder
from data_pipelines.builders.frames import Frames, raw_split
from data_pipelines.builders.raw import RawCorpus, RawSplit, Request
from data_pipelines.readers.annotations import (
    read_annotations,
    read_durations,
    whole_numbers,
)
from data_pipelines.readers.errors import wrong
from data_pipelines.readers.subtitles import read_subtitle_lines
from data_pipelines.schema import Query, Subtitle

LANGUAGES = ("en", "zh")
TEXT_ONLY = ("test_public", "test_challenge")
"""Splits whose videos and moments are not published."""

Durations = Mapping[str, float]


class Mtvr(CorpusBuilder):
    """Every split with its videos; the queries of the test splits name no video."""

    @classmethod
    def read(cls, request: Request) -> RawCorpus:
        splits = read_durations(table_file(request))
        files = [annotation_file(request, split) for split in splits]
        if not any(file.exists() for file in files):
            problem = "found no tvr_zh_en_<split>_release.jsonl"
            raise wrong(request.data_dir, "", problem, "is --data_dir the release?")
        frames = Frames.of(request, request.features)
        for file in sorted(request.data_dir.glob("tvr_zh_en_*_release.jsonl")):
            if file not in files:
                oddity = "annotation files of splits without durations, ignored"
                request.tally.add(oddity, file)
        reader = _Reader(request, frames, _subtitles(request, splits))
        return frames.corpus(
            "mtvr",
            LANGUAGES,
            {split: reader.split(split, videos) for split, videos in splits.items()},
        )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One pass over the release."""

    request: Request
    frames: Frames
    subtitles: Mapping[str, Mapping[str, tuple[Subtitle, ...]]]
    """Video id -> language -> lines."""
    seen: dict[str, str] = dataclasses.field(default_factory=dict)

    def split(self, split: str, durations: Durations) -> RawSplit:
        queries = read_queries(self.request, split, durations, self.seen)
        timelines = [self.frames.timeline(*video) for video in durations.items()]
        measured = [
            (line, {code: self._lines(line.video_id, code) for code in LANGUAGES})
            for line in timelines
            if line
        ]
        whole = raw_split(measured, queries, parallel_texts(queries))
        names = [video.video_id for video in whole.videos]
        numbers = whole_numbers([table_file(self.request)], split, names)
        return dataclasses.replace(whole, video_numbers=numbers)

    def _lines(self, video_id: str, language: str) -> tuple[Subtitle, ...]:
        return self.subtitles.get(video_id, {}).get(language, ())


def table_file(request: Request) -> Path:
    return request.data_dir / "tvr_video2dur_idx.json"


def annotation_file(request: Request, split: str) -> Path:
    return request.data_dir / f"tvr_zh_en_{split}_release.jsonl"


def read_queries(
    request: Request, split: str, durations: Durations, seen: dict[str, str]
) -> tuple[Query, ...]:
    """The queries of a split, none where its file is not part of the release."""
    file = annotation_file(request, split)
    if not os.path.lexists(file):  # a link that leads nowhere is no absence
        return ()
    return read_annotations(
        file,
        videos=durations,
        languages=LANGUAGES,
        seen=seen,
        tally=request.tally,
        is_linked=split not in TEXT_ONLY,
        allow_missing=request.allow_missing,
    ).queries


def parallel_texts(queries: Sequence[Query]) -> list[Mapping[str, str]]:
    """The texts that name no video, as human translations of one another."""
    unlinked = (query.texts for query in queries if query.video_id is None)
    pairs = ({c: t[c] for c in LANGUAGES if c in t} for t in unlinked)
    return [pair for pair in pairs if len(pair) == len(LANGUAGES)]


def _subtitles(
    request: Request, splits: Mapping[str, Durations]
) -> dict[str, dict[str, tuple[Subtitle, ...]]]:
    """Video id -> language -> lines, from whichever subtitle files there are."""
    durations = {k: v for videos in splits.values() for k, v in videos.items()}
    found: dict[str, dict[str, tuple[Subtitle, ...]]] = {}
    for suffix, language in (("", "en"), ("_en", "en"), ("_zh", "zh")):
        file = request.data_dir / f"tvqa_preprocessed_subtitles{suffix}.jsonl"
        if not os.path.lexists(file):
            continue
        dialogues = read_subtitle_lines(
            file,
            language=language,
            durations=durations,
            tally=request.tally,
            languages=LANGUAGES,
            allow_missing=request.allow_missing,
        )
        for video_id, lines in dialogues.items():
            told = found.setdefault(video_id, {})
            for code in lines:
                if lines[code] and told.get(code):
                    problem = f"{video_id} has {code} subtitles in another file too"
                    raise wrong(file, "sub", problem, "keep one of the two")
            told.update({code: ones for code, ones in lines.items() if ones})
        for video_id in durations.keys() - dialogues.keys():
            request.tally.add(f"videos without {language} subtitles", video_id)
    return found
