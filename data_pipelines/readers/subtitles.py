"""Subtitle files: SubRip (.srt), WebVTT (.vtt) and TVQA-style JSON lines (.jsonl).

    {"vid_name": "v1", "sub": [{"text": "Hello.", "start": 0.5, "end": 1.9}]}

In JSON lines `text` may also hold one text per language: {"en": "...", "zh": "..."}.
Dialogue overlaps and wanders in real files, so that is put right and counted; a time
that means nothing is an error.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.readers.annotations import TOLERANCE, codes_of
from data_pipelines.readers.errors import InputError, Tally, found, wrong
from data_pipelines.readers.fields import (
    Row,
    checked_seconds,
    read_json_lines,
    read_text,
    sanitised,
)
from data_pipelines.schema import Subtitle

CLOCK = r"(?:(\d{1,3}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
TIMES = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?:\s.*)?")
# Two times with anything short between them: meant as TIMES, so never as dialogue.
LIKE_TIMES = re.compile(rf"\s*{CLOCK}\s*\S{{1,4}}\s*{CLOCK}(?:\s.*)?")
TAG = re.compile(
    r"</?(?:[ibucv]|ruby|rt|lang|font)(?:[ .][^<>]*)?>|<[\d:.]+>|\{\\[^}]*\}"
)

VTT_OTHER = ("WEBVTT", "NOTE", "STYLE", "REGION")

ZERO_LENGTH = "subtitles of no length, dropped"
LATE = "subtitles that start after the end of the video, dropped"
LONG = "subtitles that end after the end of the video, cut to it"
UNSORTED = "subtitles out of order, sorted"
OVERLAP = "subtitles that overlap the one before, kept"
IDENTICAL = "subtitles said twice at one time, kept"


@dataclasses.dataclass(frozen=True)
class _Line:
    """One subtitle as the file has it, and where."""

    subtitle: Subtitle
    place: str
    field: str

    def wrong(self, field: str, problem: str) -> InputError:
        return wrong(self.place, self.field + field, problem)


def read_subtitle_file(
    path: Path, *, duration: float, tally: Tally
) -> tuple[Subtitle, ...]:
    """The subtitles of one video from a .srt or .vtt file, ordered by start."""
    if path.suffix not in (".srt", ".vtt"):
        problem = (
            f"expected a name that ends in .srt or .vtt, found {found(path.suffix)}"
        )
        raise wrong(path, "", problem)
    text = read_text(path)
    if path.suffix == ".vtt" and not text.startswith("WEBVTT"):
        raise wrong(f"{path}:1", "", "expected WEBVTT", "is it an .srt file?")
    return _put_right(list(_cues(text, path)), duration, tally)


def read_subtitle_lines(
    path: Path,
    *,
    language: str,
    durations: Mapping[str, float],
    tally: Tally,
    languages: Sequence[str] = (),
    allow_missing: bool = False,
) -> dict[str, dict[str, tuple[Subtitle, ...]]]:
    """Video id -> language -> subtitles, from a .jsonl file.

    Texts that are not split by language are in `language`. One in none of `languages`
    is refused; no languages admit any. Videos that `durations` does not know are an
    error, or dropped and counted with `allow_missing`.
    """
    if path.suffix != ".jsonl":
        problem = f"expected a name that ends in .jsonl, found {found(path.suffix)}"
        raise wrong(path, "", problem)
    read: dict[str, dict[str, tuple[Subtitle, ...]]] = {}
    for row in read_json_lines(path):
        video_id = row.identifier("vid_name")
        if video_id in read:
            raise row.wrong("vid_name", f"{found(video_id)} was already used")
        if video_id in durations:
            read[video_id] = _dialogue(row, language, durations[video_id], tally)
            unknown = [code for code in read[video_id] if code not in languages]
            if languages and unknown:
                problem = f"found language {unknown[0]!r}, expected some of "
                remedy = "correct the code, or remove the texts"
                raise row.wrong("sub", f"{problem}{languages!r}", remedy)
        elif allow_missing:
            tally.add("subtitles of unknown videos, dropped", row.place)
        else:
            problem = f"{found(video_id)} is not among the {len(durations)} videos"
            raise row.wrong("vid_name", problem, "pass --allow_missing to drop it")
    return read


def _dialogue(
    row: Row, language: str, duration: float, tally: Tally
) -> dict[str, tuple[Subtitle, ...]]:
    """All lines of one video by language."""
    lines: dict[str, list[_Line]] = {language: []}
    for item in row.rows("sub"):
        times = item.seconds("start"), item.seconds("end")
        for code, text in _texts(item, language).items():
            line = _Line(Subtitle(text, *times), item.place, item.prefix)
            lines.setdefault(code, []).append(line)
    return {code: _put_right(ones, duration, tally) for code, ones in lines.items()}


def _texts(item: Row, language: str) -> dict[str, str]:
    if not isinstance(item.value("text"), dict):
        return {language: item.text("text")}
    texts = item.row("text")
    return {code: texts.text(name) for name, code in codes_of(texts).items()}


def _cues(text: str, path: Path) -> Iterator[_Line]:
    """The cues of a .srt or .vtt file; blocks are separated by blank lines."""
    for number, block in _blocks(text):
        if path.suffix == ".vtt" and block[0].startswith(VTT_OTHER):
            continue
        # One line may stand before the times: a number or a name.
        at = 0 if "-->" in block[0] else 1
        place = f"{path}:{number + min(at, len(block) - 1)}"
        if len(block) <= at or not (match := TIMES.fullmatch(block[at])):
            line = block[min(at, len(block) - 1)]
            problem = f"expected 00:00:01,000 --> 00:00:02,000, found {found(line)}"
            raise wrong(place, "times", problem)
        if any(LIKE_TIMES.fullmatch(line) for line in block[at + 1 :]):
            problem = "found the times of another subtitle within this one, expected "
            raise wrong(place, "text", problem + "a blank line between two subtitles")
        start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
        spoken = TAG.sub("", " ".join(block[at + 1 :]))
        subtitle = Subtitle(sanitised(spoken, place, "text"), start, end)
        for field, value in (("start", start), ("end", end)):
            checked_seconds(value, place, field)
        yield _Line(subtitle, place, "")


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines that are not blank, each with the number of its first line."""
    block: list[str] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate([*lines, ""], 1):
        if line.strip("\x00 \t\ufeff"):
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _seconds(clock: tuple[str | None, ...]) -> float:
    """Seconds of (hours, minutes, seconds, digits behind the point)."""
    hours, minutes, seconds, fraction = (part or "0" for part in clock)
    # Whole milliseconds first, so that 1.9 is read as exactly 1.9.
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 1000 + int(fraction.ljust(3, "0"))) / 1000


def _put_right(
    lines: list[_Line], duration: float, tally: Tally
) -> tuple[Subtitle, ...]:
    """Ordered by start, inside the video; every repair is counted."""
    kept = [line for line in lines if _is_kept(line, duration, tally)]
    for before, after in itertools.pairwise(kept):
        if after.subtitle.start < before.subtitle.start:
            tally.add(UNSORTED, after.place)
    kept.sort(key=lambda line: (line.subtitle.start, line.subtitle.end))
    for before, after in itertools.pairwise(kept):
        if after.subtitle == before.subtitle:
            tally.add(IDENTICAL, after.place)
        elif after.subtitle.start < before.subtitle.end:
            tally.add(OVERLAP, after.place)
    return tuple(_cut(line, duration, tally) for line in kept)


def _is_kept(line: _Line, duration: float, tally: Tally) -> bool:
    """False, and counted, for a line that lasts no time or comes just too late."""
    start, end = line.subtitle.start, line.subtitle.end
    if end < start:
        raise line.wrong("end", f"ends ({end:g}) before it starts ({start:g})")
    if start > duration + TOLERANCE:
        problem = f"starts at {start:g}, after the video ends ({duration:g})"
        raise line.wrong("start", problem)
    oddity = ZERO_LENGTH if end == start else LATE if start >= duration else ""
    if oddity:
        tally.add(oddity, line.place)
    return not oddity


def _cut(line: _Line, duration: float, tally: Tally) -> Subtitle:
    if line.subtitle.end <= duration:
        return line.subtitle
    if line.subtitle.end > duration + TOLERANCE:
        tally.add(LONG, line.place)
    return dataclasses.replace(line.subtitle, end=duration)
