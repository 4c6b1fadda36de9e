"""How2R as its authors published it: lines of video, piece, moment and text.

    z0r8QCIuHaM,[180:240],[180.0:187.07],The woman placed the design on the fabric

A piece of a longer video is a video here, `z0r8QCIuHaM.3` the fourth minute: that is
how the official preparation of HowTo100M names it. Times are seconds of the whole.
"""

import csv
import io
import re
from collections.abc import Iterator, Set
from pathlib import Path

from data_pipelines.readers.errors import Tally, found, wrong
from data_pipelines.readers.fields import Row, read_text

NUMBER = r"(\d{1,5}(?:\.\d+)?)"
SPAN = re.compile(rf"\[{NUMBER}:{NUMBER}\]")
FIELDS = 4
"""Of a line; the test file has an empty one behind them."""
PIECE = 60.0
"""Seconds of a piece."""
CUT = "moments that leave their piece of the video, cut to it"
OUTSIDE = "moments outside their piece of the video, dropped"
SHARED = "lines about videos that other splits hold, dropped"


def read_how2(
    path: Path, tally: Tally, without: Set[str] = frozenset()
) -> Iterator[Row]:
    """The lines in the style of TVR, numbered; not those of the videos `without`."""
    table = csv.reader(io.StringIO(read_text(path)), strict=True)
    try:
        for number, fields in enumerate(table):
            place = f"{path}:{table.line_num}"
            if fields and fields[0] in without:
                tally.add(SHARED, place)
            elif fields and (row := _row(fields, number, place, tally)):
                yield row
    except csv.Error as error:
        place = f"{path}:{table.line_num}"
        problem = f"is no line of a table: {error}"
        raise wrong(place, "", problem, "close the quotes") from None


def whole_videos(path: Path) -> set[str]:
    """The longer videos that a file is about."""
    return {line.split(",")[0] for line in read_text(path).splitlines() if line}


def _row(fields: list[str], number: int, place: str, tally: Tally) -> Row | None:
    if len(fields) < FIELDS or any(map(str.strip, fields[FIELDS:])):
        problem = f"expected video,[piece],[moment],text, found {len(fields)} fields"
        raise wrong(place, "", problem, "put a text with commas in quotes")
    video, piece, moment, text = fields[:FIELDS]
    first, last = _span(piece, place, "piece")
    start, end = _span(moment, place, "moment")
    kept = max(start, first), min(end, last)
    if kept[1] <= kept[0]:
        tally.add(OUTSIDE, place)
        return None
    if kept != (start, end):
        tally.add(CUT, place)
    values = {
        "desc_id": number,
        "vid_name": f"{video}.{first / PIECE:g}",
        "duration": last - first,
        "ts": [round(time - first, 3) for time in kept],
        "desc": text,
    }
    return Row(place, values)


def _span(text: str, place: str, field: str) -> tuple[float, float]:
    match = SPAN.fullmatch(text.strip())
    if not match or float(match[2]) <= float(match[1]):
        problem = f"expected [start:end] in seconds, found {found(text)}"
        raise wrong(place, field, problem)
    return float(match[1]), float(match[2])
