"""Records of official text databases as ours, with the token ids they hold (E.3).

Texts and times stay as they are, so that the official preparation of them gives the
same numbers again.
"""

import array
import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.official_db.stores import TextDb, video_list
from data_pipelines.readers.annotations import KINDS
from data_pipelines.readers.errors import Tally, found
from data_pipelines.readers.fields import MAX_SECONDS, Row
from data_pipelines.readers.lmdb import FILE
from data_pipelines.readers.questions import MAX_ANSWERS, NO_MOMENT, seconds_of
from data_pipelines.readers.statements import PAIRED
from data_pipelines.schema import (
    Caption,
    CaptionedMoment,
    Query,
    Question,
    Statement,
    Subtitle,
    Tokens,
)

VIDEO_FIELDS = ("vid", "vid_name", "clip_name")


@dataclasses.dataclass
class Texts:
    """What one database says about which videos, and how long it says they last."""

    queries: list[Query] = dataclasses.field(default_factory=list)
    questions: list[Question] = dataclasses.field(default_factory=list)
    statements: list[Statement] = dataclasses.field(default_factory=list)
    captions: list[CaptionedMoment] = dataclasses.field(default_factory=list)
    tokens: list[Tokens] = dataclasses.field(default_factory=list)
    durations: dict[str, float] = dataclasses.field(default_factory=dict)
    videos: dict[str, None] = dataclasses.field(default_factory=dict)
    """The videos spoken of, and those of `video_ids.json`."""


@dataclasses.dataclass(frozen=True)
class Dialogue:
    """The subtitles of one video with their tokens and official alignment (B.2)."""

    subtitles: tuple[Subtitle, ...]
    tokens: tuple[array.array, ...]
    num_frames: int
    frames: Sequence[Any]
    """[[subtitle, [its frames]], ...]"""


def read_dialogue(row: Row) -> Dialogue:
    """A record of a subtitle database."""
    lines = row.rows("sub")
    subtitles = tuple(
        Subtitle(_text(line, "text"), _number(line, "start"), _number(line, "end"))
        for line in lines
    )
    ids = row.typed("input_ids", list, "lists of token ids")
    # A video without subtitles has empty ones, made up to hold its frames (B.2).
    tokens = tuple(_ids(row, f"input_ids[{i}]", one) for i, one in enumerate(ids))
    tokens = tokens if subtitles else ()
    if len(tokens) != len(subtitles):
        problem = f"has {len(tokens)} lists for {len(subtitles)} subtitles"
        raise row.wrong("input_ids", problem)
    frames = row.typed("unique_sub2frames", list, "a list")
    num_frames = row.typed("duration", int, "a count of frames")
    return Dialogue(subtitles, tokens, num_frames, frames)


def read_texts(path: Path, language: str, tally: Tally) -> Texts:
    """What a database asks or says; which kind it is, its records tell."""
    reader = _Reader(TextDb(path), language, tally)
    if (path / "clip.db" / FILE).is_file():
        reader.captions()
    else:
        reader.others()
    return reader.texts


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One pass over a database."""

    db: TextDb
    language: str
    tally: Tally
    texts: Texts = dataclasses.field(default_factory=Texts)

    def others(self) -> None:
        videos = self.db.side("query2video.json")
        pairs = dict[str, str]()
        for key, row in self.db.rows():
            video_id = self._video(row, videos.get(key))
            self._reader_of(row)(key, row, video_id)
            if row.has("statement") or row.has("label"):
                pairs[str(row.values.get("paired_id", key))] = key
        self._pair(pairs)
        listed = self.db.path / "video_ids.json"
        if listed.is_file():
            self.texts.videos |= dict.fromkeys(video_list(listed))

    def _reader_of(self, row: Row) -> Callable[[str, Row, str | None], None]:
        if row.has("q") or row.has("events"):
            return self._question
        if row.has("statement") or row.has("label"):
            return self._statement
        return self._query

    def _video(self, row: Row, listed: object) -> str | None:
        """The video a record is about; None where that is not published."""
        named = [row.values.get(field) for field in VIDEO_FIELDS]
        name = next((name for name in (*named, listed) if name is not None), None)
        if name is None:
            return None
        row = Row(row.place, {"vid": name})
        video_id = row.identifier("vid")
        self.texts.videos[video_id] = None
        return video_id

    def _query(self, key: str, row: Row, video_id: str | None) -> None:
        kind = row.values.get("type", "")
        target = row.values.get("target", row.values.get("ts"))
        query = Query(
            query_id=key,
            texts={self.language: _text(row, "desc")},
            video_id=video_id,
            moments=_moments(row, target),
            kind=kind if kind in KINDS else "",
        )
        self.texts.queries.append(query)
        self._keep("queries", key, [_ids(row, "input_ids", row.value("input_ids"))])
        if video_id is not None and row.values.get("duration") is not None:
            self.texts.durations[video_id] = _number(row, "duration")

    def _question(self, key: str, row: Row, video_id: str | None) -> None:
        texts = [] if row.has("events") else [_text(row, "q")]
        if row.has("events"):
            answers = row.typed("events", list, "a list of texts")
        else:
            fields = (f"a{i}" for i in range(MAX_ANSWERS))
            answers = [_text(row, field) for field in fields if row.has(field)]
        moment = seconds_of(row.values.get("ts"))
        if moment is None and row.values.get("ts") is not None:
            self.tally.add(NO_MOMENT, row.place)
        question = Question(
            question_id=key,
            video_id=self._needed(row, video_id),
            texts={self.language: texts[0]} if texts else {},
            answers=tuple({self.language: answer} for answer in answers),
            label=_label(row, len(answers)),
            moment=moment,
        )
        self.texts.questions.append(question)
        ids = row.typed("input_ids", list, "lists of token ids")
        if len(ids) != len(texts) + len(answers):
            problem = f"has {len(ids)} lists for {len(texts) + len(answers)} texts"
            raise row.wrong("input_ids", problem)
        self._keep("questions", key, [_ids(row, "input_ids", one) for one in ids])

    def _statement(self, key: str, row: Row, video_id: str | None) -> None:
        target = row.values.get("target")
        if target is not None and target not in (0, 1):
            raise row.wrong("target", f"expected true or false, found {found(target)}")
        text = _text(row, "statement" if row.has("statement") else "desc")
        statement = Statement(
            statement_id=key,
            video_id=self._needed(row, video_id),
            texts={self.language: text},
            is_true=None if target is None else bool(target),
        )
        self.texts.statements.append(statement)
        self._keep("statements", key, [_ids(row, "input_ids", row.value("input_ids"))])

    def _pair(self, pairs: Mapping[str, str]) -> None:
        """Tells every statement its contrary: ids that differ in their last digit."""
        opposites = {
            key: pairs.get(f"{match[1]}{1 - int(match[2])}", "")
            for paired, key in pairs.items()
            if (match := PAIRED.fullmatch(paired))
        }
        self.texts.statements[:] = [
            dataclasses.replace(one, opposite=opposites.get(one.statement_id, ""))
            for one in self.texts.statements
        ]

    def captions(self) -> None:
        """A caption database: its moments, with the kinds that captions have."""
        captions = TextDb(self.db.path / "cap.db")
        kinds = {key: row.values.get("type", "") for key, row in captions.rows()}
        for key, row in TextDb(self.db.path / "clip.db").rows():
            self._captioned(key, row, kinds)

    def _captioned(self, key: str, row: Row, kinds: Mapping[str, Any]) -> None:
        video_id = self._needed(row, self._video(row, None))
        moments = _moments(row, row.values.get("ts"))
        written = row.rows("captions") if row.values.get("captions") else []
        names = [one.number_or_name("id") for one in written]
        captions = tuple(
            Caption(name, {self.language: _text(one, "text")}, kinds.get(name, ""))
            for name, one in zip(names, written)
        )
        moment = moments[0] if moments else None
        self.texts.captions.append(CaptionedMoment(key, video_id, moment, captions))
        ids = [_ids(one, "input_ids", one.value("input_ids")) for one in written]
        self._keep("captions", key, ids)
        if row.values.get("duration") is not None:
            self.texts.durations[video_id] = _number(row, "duration")

    def _keep(self, kind: str, key: str, ids: Sequence[array.array]) -> None:
        self.texts.tokens.append(Tokens(kind, key, tuple(ids)))

    def _needed(self, row: Row, video_id: str | None) -> str:
        if video_id is None:
            raise row.wrong("vid", "is missing", "every record here is about a video")
        return video_id


def _text(row: Row, field: str) -> str:
    """The text as it is: the official tokens are those of its every character."""
    return row.typed(field, str, "text")


def _number(row: Row, field: str) -> float:
    value = row.value(field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise row.wrong(field, f"expected seconds, found {found(value)}")
    if not -MAX_SECONDS <= value <= MAX_SECONDS:
        raise row.wrong(field, f"expected seconds, found {value}")
    return float(value)


def _moments(row: Row, value: Any) -> tuple[tuple[float, float], ...]:
    """[start, end] or several of them, in seconds; none for null."""
    if value is None:
        return ()
    pairs = value if isinstance(value, list) and _is_nested(value) else [value]
    moments = tuple(pair for pair in map(seconds_of, pairs) if pair is not None)
    if len(moments) != len(pairs):
        raise row.wrong("ts", f"expected [start, end] in seconds, found {found(value)}")
    return moments


def _is_nested(value: Sequence[Any]) -> bool:
    return all(isinstance(pair, list) for pair in value)


def _label(row: Row, num_answers: int) -> int | None:
    value = row.values.get("target")
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < num_answers:
        problem = f"expected a whole number from 0 to {num_answers - 1}"
        raise row.wrong("target", f"{problem}, found {found(value)}")
    return value


def _ids(row: Row, field: str, values: Any) -> array.array:
    """Token ids; anything but a list of whole numbers of 31 bits is refused."""
    with contextlib.suppress(TypeError, OverflowError):
        if isinstance(values, list):
            return array.array("i", values)
    raise row.wrong(field, f"expected a list of token ids, found {found(values)}")
