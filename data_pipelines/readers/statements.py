"""Annotation files in the style of VIOLIN: statements that a video bears out or not.

    {"example_id": 7, "statement": "Ann sits down.", "answer": 1, "vid_name": "v1",
     "paired_id": "v1-0-1"}
    {"desc_id": "v1-0-1", "desc": "Ann sits down.", "label": true, "vid_name": "v1"}

A statement and its contrary share all of a paired id but the last digit, 0 or 1. A text
may also be one per language: {"en": "...", "zh": "..."}. Test files lack the answer.
"""

import dataclasses
import re
from pathlib import Path

from data_pipelines.readers.errors import found
from data_pipelines.readers.fields import Row
from data_pipelines.readers.reading import Reading
from data_pipelines.schema import Statement

PAIRED = re.compile(r"(.+-)([01])")
ALONE = "statements without their contrary, kept"


def read_statements(path: Path, reading: Reading) -> tuple[Statement, ...]:
    """All statements of a file about the known videos, in its order."""
    statements, pairs = [], dict[str, str]()
    for row, video_id in reading.rows(path):
        statement = _statement(row, video_id, reading)
        statements.append(statement)
        paired = _paired_id(row)
        if paired in pairs:
            problem = f"{found(paired)} was already used by {pairs[paired]}"
            raise row.wrong("paired_id", problem, "ids must differ")
        pairs[paired] = statement.statement_id
    return tuple(
        dataclasses.replace(one, opposite=_opposite(paired, pairs, path, reading))
        for paired, one in zip(pairs, statements, strict=True)
    )


def _statement(row: Row, video_id: str, reading: Reading) -> Statement:
    is_value = row.has("statement") or row.has("example_id")
    reading.needs(row, "answer" if is_value else "label")
    return Statement(
        statement_id=reading.new_id(row, "example_id" if is_value else "desc_id"),
        video_id=video_id,
        texts=reading.texts(row, "statement" if is_value else "desc"),
        is_true=_truth(row, "answer" if is_value else "label"),
    )


def _truth(row: Row, field: str) -> bool | None:
    value = row.values.get(field)
    if value is not None and value not in (0, 1):
        raise row.wrong(field, f"expected 0, 1, true or false, found {found(value)}")
    return None if value is None else bool(value)


def _paired_id(row: Row) -> str:
    """The id that says whose contrary this is: its own, where no other is given."""
    fields = ("paired_id", "desc_id", "example_id")
    return row.number_or_name(next(name for name in fields if row.has(name)))


def _opposite(paired: str, pairs: dict[str, str], path: Path, reading: Reading) -> str:
    """The id of the contrary; "" where the file has none."""
    match = PAIRED.fullmatch(paired)
    if match and (other := f"{match[1]}{1 - int(match[2])}") in pairs:
        return pairs[other]
    reading.tally.add(ALONE, path)
    return ""
