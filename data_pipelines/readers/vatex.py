"""VATEX captions in English, and where somebody has them in Chinese, as lines of text.

    vatexval.caption.txt       3c0hLqxvSSI_000000_000010#enc#5 a man on a platform
    vatexval_zh.caption.txt    3c0hLqxvSSI_000000_000010#zh#5 一个男人在平台上
    vatexval_google_enc2zh.caption.txt      the English ones, by a machine, in Chinese
    vatexval_google_zhc2en.caption.txt      the Chinese ones in English

The name of a video holds its times: seconds of a longer one. Captions 5 to 9 of the two
languages translate each other and become one query, the others one in each language.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipelines.readers.errors import found, wrong
from data_pipelines.readers.fields import (
    Row,
    checked_duration,
    checked_id,
    read_text,
)

NAME = re.compile(r"(\S+_(\d{6})_(\d{6}))#(?:enc|zhc?)(?:2\w+)?#(\d+) (.*)")
FIRST_TRANSLATED = 5

Captions = Mapping[tuple[str, int], tuple[str, str]]
"""(video, number of the caption) -> place and text."""


@dataclasses.dataclass(frozen=True)
class Described:
    """What one number says of a video, in the languages in which it is one text."""

    place: str
    video: str
    number: int
    """Of the caption, 0 to 9."""
    texts: Mapping[str, str]

    @property
    def is_translated(self) -> bool:
        """Whether captions of this number translate one another, where both exist."""
        return self.number >= FIRST_TRANSLATED

    @property
    def duration(self) -> int:
        """Seconds of the video, as its name says."""
        _, start, end = self.video.rsplit("_", 2)
        return int(end) - int(start)

    def row(self, desc_id: int) -> Row:
        """A line in the style of VATEX-EN-R."""
        values = {
            "desc_id": desc_id,
            "vid_name": self.video,
            "duration": self.duration,
            "descs": dict(self.texts),
        }
        return Row(self.place, values)


def read_vatex(path: Path) -> Iterator[Row]:
    """The captions in the style of VATEX-EN-R, with those of the file beside it."""
    return (one.row(desc_id) for desc_id, one in enumerate(read_described(path)))


def read_described(path: Path) -> Iterator[Described]:
    """The captions of a file, then those that only the Chinese one beside it has."""
    english, chinese = _captions(path), _captions(beside(path))
    for (video, number), (place, text) in english.items():
        texts = {"en": text}
        if number >= FIRST_TRANSLATED and (video, number) in chinese:
            texts["zh"] = chinese[video, number][1]
        yield Described(place, video, number, texts)
    for (video, number), (place, text) in chinese.items():
        if number < FIRST_TRANSLATED or (video, number) not in english:
            yield Described(place, video, number, {"zh": text})


def read_translations(path: Path, kind: str) -> Mapping[tuple[str, int], str]:
    """(video, number) -> the machine's translation of that caption, `kind` being
    `enc2zh` or `zhc2en`; nothing where there is no such file beside the English one."""
    captions = _captions(beside(path, f"google_{kind}"))
    return {key: text for key, (_, text) in captions.items()}


def beside(path: Path, what: str = "zh") -> Path:
    """The Chinese captions of the same videos, or others of them."""
    return path.with_name(path.name.replace(".caption", f"_{what}.caption"))


def _captions(path: Path) -> Captions:
    """None where there is no file."""
    if not path.exists():
        return {}
    captions: dict[tuple[str, int], tuple[str, str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        place = f"{path}:{number}"
        match = NAME.fullmatch(line)
        if not match or int(match[3]) <= int(match[2]):
            problem = f"expected <video>_<start>_<end>#enc#0 text, found {found(line)}"
            raise wrong(place, "", problem)
        checked_id(match[1], place, "")
        checked_duration(int(match[3]) - int(match[2]), place, "")
        if (key := (match[1], int(match[4]))) in captions:
            problem = f"is the caption {key[1]} of {key[0]} a second time"
            raise wrong(place, "", problem, "remove one")
        captions[key] = place, match[5]
    return captions
