"""TVR, How2R, DiDeMo, MSR-VTT, YC2R and VATEX-EN-R as they were published (E.4).

    <dataset>_<split>.jsonl          queries; also <dataset>_<split>_release.jsonl
    *subtitles[_<language>].jsonl    dialogue; also *asr.jsonl
    *video2dur_idx.json              durations, and the videos that a split searches

Where no file says which videos a split has, it has those that its queries are about.
Three may also be what their first authors published: How2R's tables, YouCook2's steps
(English and Japanese), VATEX's captions (English and Chinese).
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from data_pipelines.builders.frames import Timeline
from data_pipelines.builders.judged import JudgedBuilder, Lines, Records, Release
from data_pipelines.readers import how2, vatex, youcook2
from data_pipelines.readers.annotations import whole_numbers
from data_pipelines.readers.fields import Row
from data_pipelines.readers.queries import read_queries, video_of
from data_pipelines.readers.reading import Reading


class Asked(Release):
    """A folder of queries."""

    def videos(self, split: str, lines: Lines) -> Iterable[str]:
        """Those that are searched, whether anybody asks for them or not (F.1)."""
        listed = self.tables().get(split)
        return listed or dict.fromkeys(v for row in lines if (v := video_of(row)))

    def read(self, lines: Lines, reading: Reading) -> Records:
        return read_queries(lines, reading)

    def numbers(self, videos: Sequence[Timeline], split: str) -> dict[str, int]:
        files = sorted(self.request.data_dir.glob("*video2dur_idx.json"))
        return whole_numbers(files, split, [video.video_id for video in videos])


class AskedHow2(Asked):
    """How2R, possibly as tables: what train shares with the others is left to them."""

    def files(self) -> dict[str, Lines]:
        tables = {
            split: path for path, split in self.named(r"how2R_(.+?)_release\.csv")
        }
        held = {
            s: how2.whole_videos(path) for s, path in tables.items() if s != "train"
        }
        others = set[str]().union(*held.values())
        rows = {
            split: how2.read_how2(
                path, self.request.tally, others if split == "train" else frozenset()
            )
            for split, path in tables.items()
        }
        found = {
            split: _read(path, list(rows[split])) for split, path in tables.items()
        }
        return found or super().files()


class AskedYouCook2(Asked):
    """YC2R, possibly as the steps of YouCook2."""

    def files(self) -> dict[str, Lines]:
        path = self.request.data_dir / youcook2.STEPS
        if not os.path.lexists(path):
            return super().files()
        japanese = youcook2.read_translations(path.with_name(youcook2.TRANSLATIONS))
        steps = {
            split: youcook2.read_steps(path, japanese, is_training=split == "train")
            for split in ("train", "val")
        }
        return {split: _read(path, list(rows)) for split, rows in steps.items()}


class AskedVatex(Asked):
    """VATEX-EN-R, possibly as lines of captions."""

    def files(self) -> dict[str, Lines]:
        found = {
            split: _read(path, list(vatex.read_vatex(path)))
            for path, split in self.named(r"vatex([a-z]+)\.caption\.txt")
        }
        return found or super().files()


def _read(path: Path, rows: Sequence[Row]) -> Lines:
    """Lines that were read once, so that what is odd about them counts once."""
    return Lines(path, lambda _: rows)


class RetrievedBuilder(JudgedBuilder):
    """Reads one of them."""

    KIND = "queries"
    RELEASE: ClassVar[type[Release]] = Asked


class Tvr(RetrievedBuilder):
    """Moments of TV shows."""

    DATASET = "tvr"


class How2R(RetrievedBuilder):
    """Moments of instructional videos."""

    DATASET = "how2r"
    RELEASE = AskedHow2


class Didemo(RetrievedBuilder):
    """Moments of personal videos, each marked by several people in the end."""

    DATASET = "didemo"


class Msrvtt(RetrievedBuilder):
    """Short videos of any kind."""

    DATASET = "msrvtt"


class Yc2r(RetrievedBuilder):
    """Segments of cooking videos."""

    DATASET = "yc2r"
    RELEASE = AskedYouCook2


class VatexEnR(RetrievedBuilder):
    """Short videos of what people do."""

    DATASET = "vatex_en_r"
    RELEASE = AskedVatex
