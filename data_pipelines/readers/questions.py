"""Annotation files in the style of TVQA, How2QA and VLEP: answers to choose from.

    {"qid": 7, "q": "What does Ann open?", "a0": "A box.", ..., "a4": "A door.",
     "answer_idx": 0, "vid_name": "v1", "ts": "3.20-9.00"}
    {"example_id": 7, "events": ["She sits.", "She leaves."], "answer": 1,
     "vid_name": "v1", "ts": [3.2, 9.0]}

Every text may also be one per language: {"en": "...", "zh": "..."}. Test files lack
the answer, and may lack the times.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.readers.errors import found
from data_pipelines.readers.fields import Row
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Question

MAX_ANSWERS = 16
NO_MOMENT = "questions without a readable moment, kept"


def read_questions(path: Path, reading: Reading) -> tuple[Question, ...]:
    """All questions of a file about the known videos, in its order."""
    return tuple(_question(row, video, reading) for row, video in reading.rows(path))


def _question(row: Row, video_id: str, reading: Reading) -> Question:
    is_about_events = row.has("events")
    answers = _events(row) if is_about_events else _answers(row)
    label = "answer" if is_about_events else "answer_idx"
    reading.needs(row, label)
    return Question(
        question_id=reading.new_id(row, "example_id" if is_about_events else "qid"),
        video_id=video_id,
        texts={} if is_about_events else reading.texts(row, "q"),
        answers=tuple(reading.texts(holder, field) for holder, field in answers),
        label=_label(row, label, len(answers)),
        moment=_moment(row, video_id, reading),
    )


def _answers(row: Row) -> list[tuple[Row, str]]:
    """a0, a1 ... as many as there are, at least two."""
    fields = [f"a{i}" for i in range(MAX_ANSWERS)]
    count = next((i for i, name in enumerate(fields) if not row.has(name)), MAX_ANSWERS)
    if later := [name for name in fields[count:] if row.has(name)]:
        raise row.wrong(fields[count], f"is missing, but there is {later[0]}")
    return [(row, name) for name in fields[: max(count, 2)]]


def _events(row: Row) -> list[tuple[Row, str]]:
    values = row.typed("events", list, "a list of texts")
    if not 2 <= len(values) <= MAX_ANSWERS:
        problem = f"expected 2 to {MAX_ANSWERS} texts, found {len(values)}"
        raise row.wrong("events", problem)
    holder = Row(row.place, {f"events[{i}]": v for i, v in enumerate(values)})
    return [(holder, name) for name in holder.values]


def _label(row: Row, field: str, num_answers: int) -> int | None:
    value = row.values.get(field)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < num_answers:
        problem = f"expected a whole number from 0 to {num_answers - 1}"
        raise row.wrong(field, f"{problem}, found {found(value)}")
    return value


def _moment(row: Row, video_id: str, reading: Reading) -> tuple[float, float] | None:
    """Seconds inside the video; counted, and None, where they say nothing (T.4)."""
    value = row.values.get("ts")
    duration = reading.durations[video_id]
    limit = math.inf if duration is None else duration
    pair = seconds_of(value)
    if pair is not None and 0 <= pair[0] < min(pair[1], limit):
        return pair[0], min(pair[1], limit)
    if value is not None:
        reading.tally.add(NO_MOMENT, row.place)
    return None


def seconds_of(value: Any) -> tuple[float, float] | None:
    """The two numbers of "3.2-9.0" or [3.2, 9.0]; None for "nan-nan" and the like."""
    parts: Sequence[Any] = value.split("-") if isinstance(value, str) else value
    if not isinstance(parts, list) or len(parts) != 2:
        return None
    try:
        start, end = (float(part) for part in parts)
    except (TypeError, ValueError, OverflowError):
        return None
    return (start, end) if math.isfinite(start) and math.isfinite(end) else None
