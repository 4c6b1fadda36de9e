"""What the readers of questions, statements and captions share: one pass over files."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.readers.annotations import ALIASES, codes_of, read_moment
from data_pipelines.readers.errors import Tally, found
from data_pipelines.readers.fields import Row, read_json_lines

ENGLISH = "en"
"""The language of texts that stand alone instead of in {language: text}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """One pass over the files of one kind; remembers the ids used so far."""

    durations: Mapping[str, float | None]
    """The known videos and how long they last (seconds), None where nobody said."""
    tally: Tally
    languages: Sequence[str] = ()
    """Texts in another language are refused, missing ones counted; none admit any."""
    allow_missing: bool = False
    """Drop and count lines about unknown videos."""
    is_labelled: bool = False
    """Refuse lines without the label or captions that training needs."""
    seen: dict[str, str] = dataclasses.field(default_factory=dict)
    """Id -> where it was used; one dict for several files."""

    def rows(self, path: Path) -> Iterator[tuple[Row, str]]:
        """The lines of a file about known videos, with the video of each."""
        for row in read_json_lines(path):
            if self.knows(row, "vid_name"):
                yield row, row.identifier("vid_name")

    def knows(self, row: Row, field: str) -> bool:
        """Whether the line is about a known video; counted or refused if it is not."""
        video_id = row.identifier(field)
        if video_id in self.durations:
            return True
        if self.allow_missing:
            self.tally.add("lines about unknown videos, dropped", row.place)
            return False
        problem = f"{found(video_id)} is not among the {len(self.durations)} videos"
        remedy = "add the video, or pass --allow_missing to drop the line"
        raise row.wrong(field, problem, remedy)

    def needs(self, row: Row, field: str) -> None:
        """Refuses a line to train on that does not say what it is to teach."""
        if self.is_labelled and row.values.get(field) in (None, []):
            raise row.wrong(field, "is missing or empty", "training needs it")

    def new_id(self, row: Row, field: str, kind: str = "") -> str:
        """The line's id, which no line of this kind had before."""
        name = row.number_or_name(field)
        if (key := kind + name) in self.seen:
            problem = f"{found(name)} was already used at {self.seen[key]}"
            raise row.wrong(field, problem, "ids must differ")
        self.seen[key] = row.place
        return name

    def texts(self, row: Row, field: str) -> dict[str, str]:
        """Language -> text: of an object as it says, of a text alone English."""
        if not isinstance(row.value(field), dict):
            return {ENGLISH: row.visible_text(field)}
        texts = row.row(field)
        codes = codes_of(texts)
        self._check(row, field, codes.values())
        read = {code: texts.visible_text(name) for name, code in codes.items()}
        for language in self.languages:
            if language not in read:
                self.tally.add(f"texts without {language}", row.place)
        return read

    def _check(self, row: Row, field: str, codes: Iterable[str]) -> None:
        """A misspelt code would drop the text from its language without a word."""
        for code in codes:
            if self.languages and code not in (*self.languages, *ALIASES.values()):
                problem = f"found language {code!r}, expected some of "
                remedy = "correct the code, or declare the language"
                raise row.wrong(field, f"{problem}{self.languages!r}", remedy)

    def moment(self, row: Row, field: str, video_id: str) -> tuple[float, float] | None:
        """[start, end] in seconds inside the video; None where the line has none."""
        if row.values.get(field) is None:
            return None
        duration = self.durations[video_id]
        return read_moment(row, field, math.inf if duration is None else duration)
