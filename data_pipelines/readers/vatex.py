"""VATEX captions in English, and where somebody has them in Chinese, as lines of text.

    vatexval.caption.txt       3c0hLqxvSSI_000000_000010#enc#5 a man on a platform
    vatexval_zh.caption.txt    3c0hLqxvSSI_000000_000010#zh#5 一个男人在平台上

The name of a video holds its times: seconds of a longer one. Captions 5 to 9 of the two
languages translate each other and become one query, the others one in each language.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipelines.readers.errors import found, wrong
from data_pipelines.readers.fields import Row, read_text

NAME = re.compile(r"(\S+_(\d{6})_(\d{6}))#(?:enc|zhc?)#(\d+) (.*)")
FIRST_TRANSLATED = 5

Captions = Mapping[tuple[str, int], tuple[str, str]]
"""(video, number of the caption) -> place and text."""


def read_vatex(path: Path) -> Iterator[Row]:
    """The captions in the style of VATEX-EN-R, with those of the file beside it."""
    english, chinese = _captions(path), _captions(_beside(path))
    number = 0
    for (video, caption), (place, text) in english.items():
        texts = {"en": text}
        if caption >= FIRST_TRANSLATED and (video, caption) in chinese:
            texts["zh"] = chinese[video, caption][1]
        yield _row(place, number, video, texts)
        number += 1
    for (video, caption), (place, text) in chinese.items():
        if caption < FIRST_TRANSLATED or (video, caption) not in english:
            yield _row(place, number, video, {"zh": text})
            number += 1


def _beside(path: Path) -> Path:
    return path.with_name(path.name.replace(".caption", "_zh.caption"))


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
        if (key := (match[1], int(match[4]))) in captions:
            problem = f"is the caption {key[1]} of {key[0]} a second time"
            raise wrong(place, "", problem, "remove one")
        captions[key] = place, match[5]
    return captions


def _row(place: str, number: int, video: str, texts: Mapping[str, str]) -> Row:
    _, start, end = video.rsplit("_", 2)
    values = {
        "desc_id": number,
        "vid_name": video,
        "duration": int(end) - int(start),
        "descs": dict(texts),
    }
    return Row(place, values)
