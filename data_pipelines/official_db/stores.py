"""One official database with its side files: records in their official order."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipelines.official_db.layout import VideoDb
from data_pipelines.readers import lmdb, packed
from data_pipelines.readers.errors import found, wrong
from data_pipelines.readers.fields import (
    Row,
    checked_id,
    checked_seconds,
    read_json,
    read_json_list,
)

SPECIAL_TOKENS = ("BOS", "EOS", "SEP", "CLS", "PAD", "MASK", "UNK")
COUNTS = re.compile(r"id2nframe(_(?P<interval>\d+(\.\d+)?))?\.json")


@dataclasses.dataclass(frozen=True)
class TextDb:
    """A database of texts (E.3)."""

    path: Path

    @functools.cached_property
    def entries(self) -> dict[str, lmdb.Entry]:
        return lmdb.entries(self.path)

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Every record with its key, in the order of the first side file that has all.

        That is the official order; the database itself has 10 before 9.
        """
        names = ("id2len.json", "query2video.json", "clip2vid.json")
        orders = (list(self.side(name)) for name in names)
        whole = (order for order in orders if set(order) == self.entries.keys())
        for key in next(whole, self.entries):
            yield key, self.row(key)

    def row(self, key: str) -> Row:
        return packed.text_record(self.entries[key])

    def side(self, name: str) -> Mapping[str, object]:
        """A side file's object; empty where there is no such file."""
        file = self.path / name
        return read_json(file).values if file.is_file() else {}

    def special_tokens(self) -> dict[str, int]:
        """Ids of special tokens; V_FIRST and V_END bound the ordinary ones."""
        meta = Row(str(self.path / "meta.json"), self.side("meta.json"))
        names = [name for name in SPECIAL_TOKENS if meta.has(name)]
        ids = {name: count_of(meta, name) for name in names}
        if meta.has("v_range"):
            bounds = meta.typed("v_range", list, "[first, end]")
            if len(bounds) != 2 or not all(type(bound) is int for bound in bounds):
                problem = f"expected [first, end], found {found(bounds)}"
                raise meta.wrong("v_range", problem)
            ids |= dict(zip(("V_FIRST", "V_END"), bounds))
        return ids

    def interval(self) -> float | None:
        """Seconds between the frames that subtitles were matched with, if it says."""
        value = self.side("meta.json").get("frame_length")
        where = self.path / "meta.json"
        return checked_seconds(value, where, "frame_length") if value else None

    def tables(self) -> dict[str, dict[str, tuple[float, int]]]:
        """Split -> video -> (seconds, index), by their index; may be empty.

        Splits may share videos.
        """
        file = self.path / "vid2dur_idx.json"
        if not file.is_file():
            return {}
        table = read_json(file)
        return {split: _ordered(table.row(split)) for split in table.values}


def _ordered(row: Row) -> dict[str, tuple[float, int]]:
    entries = []
    for name in row.values:
        pair = row.typed(name, list, "[seconds, index]")
        if len(pair) != 2 or type(pair[1]) is not int:
            problem = f"expected [seconds, index], found {found(pair)}"
            raise row.wrong(name, problem)
        checked_id(name, row.place, row.prefix)
        entries.append((pair[1], name, checked_seconds(pair[0], row.place, name)))
    return {name: (seconds, index) for index, name, seconds in sorted(entries)}


def count_of(row: Row, field: str) -> int:
    """A whole number that is not negative."""
    value = row.typed(field, int, "a whole number")
    if value < 0:
        raise row.wrong(field, f"expected 0 or more, found {value}")
    return value


def frame_counts(db: VideoDb) -> dict[str, int]:
    """Video -> frames, from `id2nframe.json` or the one for the interval (H-31).

    That of the interval comes first, however it is spelt; empty where there is none.
    """
    folder = db.path.parent
    for file in sorted(folder.glob("id2nframe*.json"), reverse=True):
        match = COUNTS.fullmatch(file.name)
        if match and float(match["interval"] or db.interval) == db.interval:
            row = read_json(file)
            return {name: count_of(row, name) for name in row.values}
    return {}


def video_list(file: Path) -> list[str]:
    """A JSON list of video names (a split for pre-training)."""
    names = read_json_list(file)
    for name in names:
        if not isinstance(name, str):
            raise wrong(file, "", f"expected names of videos, found {found(name)}")
        checked_id(name, file, "")
    return names
