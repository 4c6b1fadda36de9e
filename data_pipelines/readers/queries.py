"""Annotation files in the style of TVR, How2R, DiDeMo, MSR-VTT, YC2R and VATEX-EN-R.

    {"desc_id": 7, "vid_name": "v1", "desc": "Ann sits down.", "ts": [3.2, 9.0],
     "type": "v", "duration": 61.4}

Without `ts` a query is about a whole video. DiDeMo has a list of moments, one for each
person who marked any. MSR-VTT says `sen_id` or `retrieval_key` and `clip_name`. A text
may also be one per language: {"en": "...", "zh": "..."}. Test files lack the video.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from data_pipelines.readers.annotations import KINDS
from data_pipelines.readers.errors import found
from data_pipelines.readers.fields import Row, checked_seconds
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Query

NUMBERS = ("desc_id", "sen_id", "retrieval_key")
VIDEOS = ("vid_name", "clip_name")
TEXTS = ("desc", "descs", "caption", "sentence")
OVERHANG = 5.0
"""Seconds that a moment may reach past its video: DiDeMo marks pieces of 5 s."""


def read_queries(rows: Iterable[Row], reading: Reading) -> tuple[Query, ...]:
    """All queries about the known videos or about none, in the order of the lines."""
    return tuple(
        _query(row, reading)
        for row in rows
        if video_of(row) is None or reading.knows(row, named(row, VIDEOS))
    )


def video_of(row: Row) -> str | None:
    """The video a line is about; None where that is not published."""
    field = named(row, VIDEOS)
    return None if row.values.get(field) is None else row.identifier(field)


def named(row: Row, fields: tuple[str, ...]) -> str:
    """The one of several names that the line uses; the first where it uses none."""
    return next((name for name in fields if row.has(name)), fields[0])


def _query(row: Row, reading: Reading) -> Query:
    kind = row.values.get("type", "")
    if kind not in ("", *KINDS):
        raise row.wrong("type", f"expected v, t or vt, found {found(kind)}")
    video_id = video_of(row)
    return Query(
        query_id=reading.new_id(row, named(row, NUMBERS)),
        texts=reading.texts(row, named(row, TEXTS)),
        video_id=video_id,
        moments=() if video_id is None else _moments(row, reading.durations[video_id]),
        kind=kind,
    )


def _moments(row: Row, duration: float | None) -> tuple[tuple[float, float], ...]:
    """As annotated, seconds: nothing is cut, since scores compare with these."""
    value = row.values.get("ts")
    if value is None:
        return ()
    if not isinstance(value, list) or not any(isinstance(one, list) for one in value):
        return (_moment(row, {"ts": value}, "ts", duration),)
    pairs = {f"ts[{i}]": pair for i, pair in enumerate(value)}
    return tuple(_moment(row, pairs, field, duration) for field in pairs)


def _moment(
    row: Row, values: Mapping[str, Any], field: str, duration: float | None
) -> tuple[float, float]:
    pair = values[field]
    if not isinstance(pair, list) or len(pair) != 2:
        problem = f"expected [start, end] in seconds, found {found(pair)}"
        raise row.wrong(field, problem)
    start, end = (checked_seconds(value, row.place, field) for value in pair)
    if end <= start:
        problem = f"ends ({end:g}) before it lasted at all ({start:g})"
        raise row.wrong(field, problem, "a moment lasts a while")
    if duration is not None and end > duration + OVERHANG:
        problem = f"ends at {end:g}, after the video ends ({duration:g})"
        raise row.wrong(field, problem)
    return start, end
