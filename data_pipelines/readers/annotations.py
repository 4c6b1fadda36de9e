"""Annotation files in the style of TVR and mTVR: queries, their videos and moments.

    {"desc_id": 7, "vid_name": "v1", "duration": 61.4, "ts": [3.2, 9.0], "type": "v",
     "descs": {"en": "Ann sits down.", "zh": "安坐下了。"}}

`descs` holds one text per language; the English-only TVR has `desc` instead. Published
test files hold `desc_id` and texts alone.

Ids are whole numbers, as TVR has them, or text. Submissions tell the two apart, and so
do prediction files here: 7 goes out as 7 and "007" as "007". A number in quotes, "7",
is the number 7, and the two in one release are refused as one id used twice.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.readers.errors import Tally, found, wrong
from data_pipelines.readers.fields import (
    Row,
    checked_duration,
    checked_id,
    checked_language,
    checked_seconds,
    checked_split,
    read_json,
    read_json_lines,
)
from data_pipelines.schema import Query

TOLERANCE = 1.5
"""Seconds that a time may lie past the end of its video: rounding in real releases."""
KINDS = ("v", "t", "vt")
ALIASES = {"google_zh": "zh-x-google"}
"""Names of machine translations in releases -> private-use language codes."""
NUMBER = re.compile("0|[1-9][0-9]{0,17}")
"""Ids that prediction files hold as numbers."""
GROUND_TRUTH = ("vid_name", "duration", "ts", "type")


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The queries of one file and the durations (seconds) that it states."""

    queries: tuple[Query, ...]
    durations: Mapping[str, float]


def read_annotations(
    path: Path,
    *,
    videos: Mapping[str, float | None],
    tally: Tally,
    languages: Sequence[str] = (),
    seen: dict[str, str] | None = None,
    is_linked: bool = True,
    allow_missing: bool = False,
) -> Annotations:
    """All queries of a file, in its order.

    `videos` are the known ones with their durations, None where only the annotations
    tell. A text in none of `languages` is refused, a missing one counted; no languages
    admit any. `seen` maps the ids used so far to where: one dict for several files.
    With `is_linked` false a line may lack all of the ground truth. `allow_missing`
    drops queries of unknown videos, counted in `tally`.
    """
    reader = _Reader(dict(videos), {} if seen is None else seen, is_linked, tally)
    queries = []
    for row in read_json_lines(path):
        query = reader.query(row)
        _check_languages(row, query, languages, tally)
        if query.video_id is None or query.video_id in videos:
            queries.append(query)
        elif allow_missing:
            tally.add("queries of unknown videos, dropped", row.place)
        else:
            problem = f"{found(query.video_id)} is not among the {len(videos)} videos"
            remedy = "add the video, or pass --allow_missing to drop its queries"
            raise row.wrong("vid_name", problem, remedy)
    if not queries:
        tally.add("annotation files without a query", path)
    stated = {k: v for k, v in reader.durations.items() if v is not None}
    return Annotations(tuple(queries), stated)


def _check_languages(
    row: Row, query: Query, languages: Sequence[str], tally: Tally
) -> None:
    """A misspelt code would drop the query from its language without a word."""
    if not languages:
        return
    known = {*languages, *ALIASES.values()}
    if unknown := sorted(set(query.texts) - known):
        problem = f"found language {unknown[0]!r}, expected some of {languages!r}"
        raise row.wrong("descs", problem, "correct the code, or declare the language")
    for language in languages:
        if language not in query.texts:
            tally.add(f"queries without {language}", row.place)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One pass over a file; remembers what lines must agree on."""

    durations: dict[str, float | None]
    seen: dict[str, str]
    is_linked: bool
    tally: Tally

    def query(self, row: Row) -> Query:
        query_id = row.number_or_name("desc_id")
        if query_id == row.value("desc_id") and NUMBER.fullmatch(query_id):
            self.tally.add("desc_ids with a number in quotes, taken as it", row.place)
        if query_id in self.seen:
            problem = f"{found(query_id)} was already used at {self.seen[query_id]}"
            raise row.wrong("desc_id", problem, "ids must differ")
        self.seen[query_id] = row.place
        if not self.is_linked and not any(row.has(field) for field in GROUND_TRUTH):
            return Query(query_id, read_texts(row))
        video_id = row.identifier("vid_name")
        moment = read_moment(row, "ts", self._duration(row, video_id))
        return Query(query_id, read_texts(row), video_id, (moment,), _kind(row))

    def _duration(self, row: Row, video_id: str) -> float:
        """The duration on the line, which must agree with the one known so far."""
        known = self.durations.get(video_id)
        stated = read_duration(row, video_id, known)
        self.durations[video_id] = stated if known is None else known
        return stated if known is None else known


def read_duration(row: Row, video_id: str, known: float | None) -> float:
    """The duration (seconds) on a line, which must agree with the one known so far."""
    stated = checked_duration(row.value("duration"), row.place, "duration")
    if known is not None and abs(stated - known) > TOLERANCE:
        problem = f"found {stated:g}, but {found(video_id)} lasts {known:g} seconds"
        raise row.wrong("duration", problem, "a video has one duration")
    return stated


def read_moment(row: Row, field: str, duration: float) -> tuple[float, float]:
    """[start, end] in seconds inside the video; an end just past it is cut to it."""
    pair = row.value(field)
    if not isinstance(pair, list) or len(pair) != 2:
        problem = f"expected [start, end] in seconds, found {found(pair)}"
        raise row.wrong(field, problem)
    start, end = (checked_seconds(value, row.place, field) for value in pair)
    if end < start:
        raise row.wrong(field, f"ends ({end:g}) before it starts ({start:g})")
    if end == start:
        raise row.wrong(
            field, f"starts and ends at {start:g}", "a moment lasts a while"
        )
    if start >= duration:
        problem = f"starts at {start:g}, after the video ends ({duration:g})"
        raise row.wrong(field, problem)
    if end > duration + TOLERANCE:
        problem = f"ends at {end:g}, after the video ends ({duration:g})"
        raise row.wrong(field, problem)
    return start, min(end, duration)


def read_texts(row: Row) -> dict[str, str]:
    """Language code -> text of one query, in the file's order."""
    if not row.has("descs") and row.has("desc"):
        return {"en": row.visible_text("desc")}
    texts = row.row("descs")
    return {code: texts.visible_text(name) for name, code in codes_of(texts).items()}


def codes_of(texts: Row) -> dict[str, str]:
    """Name in the file -> language code, for a row of texts; no two are the same."""
    field = texts.prefix.removesuffix(".")
    if not texts.values:
        raise wrong(texts.place, field, "holds no text", 'write {"en": "..."}')
    codes: dict[str, str] = {}
    for name in texts.values:
        code = checked_language(ALIASES.get(name, name), texts.place, field)
        for other, known in codes.items():
            if code.lower() == known.lower():
                problem = f"{found(other)} and {found(name)} are one language"
                raise wrong(texts.place, field, problem, "keep one of them")
        codes[name] = code
    return codes


def _kind(row: Row) -> str:
    kind = row.typed("type", str, "text")
    if kind not in KINDS:
        raise row.wrong("type", f"expected v, t or vt, found {found(kind)}")
    return kind


def read_durations(path: Path) -> dict[str, dict[str, float]]:
    """Split -> video id -> seconds, from `{split: {video: [seconds, index]}}`.

    The videos of a split come in the order of their index.
    """
    table = read_json(path)
    known: dict[str, str] = {}
    return {
        checked_split(split, path, "split"): _split_durations(table.row(split), known)
        for split in table.values
    }


def read_indices(path: Path, split: str) -> dict[str, int]:
    """Video id -> its number in the same file: what submissions call the video."""
    row = read_json(path).row(split)
    return {
        video_id: _duration_and_index(pair, row.place, row.prefix + video_id)[1]
        for video_id, pair in row.values.items()
    }


def whole_numbers(
    paths: Iterable[Path], split: str, videos: Sequence[str]
) -> dict[str, int]:
    """Video id -> number of all the videos of a split; {} where one has none."""
    numbers: dict[str, int] = {}
    for path in paths:
        if split in read_json(path).values:
            numbers |= read_indices(path, split)
    return numbers_of(numbers, videos)


def numbers_of(numbers: Mapping[str, int], videos: Sequence[str]) -> dict[str, int]:
    """Those of the videos; {} where one has none, or two have the same."""
    found = {video: numbers[video] for video in videos if video in numbers}
    is_whole = len(found) == len(set(found.values())) == len(videos)
    return found if is_whole else {}


def _split_durations(row: Row, known: dict[str, str]) -> dict[str, float]:
    split = row.prefix.removesuffix(".")
    entries: dict[int, tuple[str, float]] = {}
    for video_id, pair in row.values.items():
        field = row.prefix + checked_id(video_id, row.place, split)
        seconds, index = _duration_and_index(pair, row.place, field)
        if video_id in known:
            problem = f"is in the split {found(known[video_id])} already"
            raise wrong(row.place, field, problem, "splits share no video")
        if index in entries:
            problem = f"has the index {index}, which is that of {entries[index][0]}"
            raise wrong(row.place, field, problem, "number the videos differently")
        known[video_id] = split
        entries[index] = video_id, seconds
    return dict(entries[index] for index in sorted(entries))


def _duration_and_index(pair: Any, place: str, field: str) -> tuple[float, int]:
    if not isinstance(pair, list) or len(pair) != 2:
        problem = f"expected [seconds, index], found {found(pair)}"
        raise wrong(place, field, problem)
    if type(pair[1]) is not int or pair[1] < 0:
        problem = f"expected a whole index from 0 on, found {found(pair[1])}"
        raise wrong(place, field, problem)
    return checked_duration(pair[0], place, field), pair[1]
