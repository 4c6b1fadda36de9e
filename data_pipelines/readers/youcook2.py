"""YouCook2 in English, and where somebody has it in Japanese: steps of cooking videos.

    youcook2_segments.json                 [{"Youtube Video ID": "GLd3aX16zBg",
        "ID.": "0", "Time Stamp": "90-102", "Sentence": ...}]
    youcookii_translations_ja_train.json   {"database": {"GLd3aX16zBg": {
        "subset": "training", "annotations": [{"id": 0, "sentence": ...}]}}}

Each step is a video of its own, `GLd3aX16zBg_0`, as in YC2R. The translated videos are
those of the training set; the others are validation.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_pipelines.readers.errors import found, wrong
from data_pipelines.readers.fields import Row, read_json, read_json_list

STEPS = "youcook2_segments.json"
TRANSLATIONS = "youcookii_translations_ja_train.json"
TIMES = re.compile(r"(\d{1,5})-(\d{1,5})")

Translations = Mapping[str, Mapping[str, str]]
"""Video -> number of the step -> text."""


@dataclasses.dataclass(frozen=True)
class TimedStep:
    """A step of a cooking video."""

    place: str
    video: str
    step: str
    start: int
    end: int
    """Seconds from the beginning of the video, as `start`."""
    texts: Mapping[str, str]
    """English, and Japanese where it is translated."""


def read_timed_steps(path: Path, japanese: Translations) -> Iterator[TimedStep]:
    """All steps in the order of the file."""
    for number, values in enumerate(read_json_list(path)):
        row = Row(f"{path}[{number}]", values if isinstance(values, dict) else {})
        yield _step(row, japanese)


def _step(row: Row, japanese: Translations) -> TimedStep:
    video, step = row.identifier("Youtube Video ID"), row.identifier("ID.")
    match = TIMES.fullmatch(times := row.typed("Time Stamp", str, "start-end"))
    if not match or int(match[2]) <= int(match[1]):
        problem = f"expected start-end in seconds, found {found(times)}"
        raise row.wrong("Time Stamp", problem)
    texts = {"en": row.visible_text("Sentence")}
    if translation := japanese.get(video, {}).get(step):
        texts["ja"] = translation
    return TimedStep(row.place, video, step, int(match[1]), int(match[2]), texts)


def read_steps(
    path: Path, japanese: Translations, *, is_training: bool
) -> Iterator[Row]:
    """The steps of the translated videos, or of the others, in the style of YC2R."""
    for number, step in enumerate(read_timed_steps(path, japanese)):
        if (step.video in japanese) == is_training:
            values = {
                "desc_id": number,
                "vid_name": f"{step.video}_{step.step}",
                "duration": step.end - step.start,
                "descs": step.texts,
            }
            yield Row(step.place, values)


def read_translations(path: Path) -> Translations:
    videos = read_json(path).row("database")
    return {video: _translation(videos.row(video), path) for video in videos.values}


def _translation(row: Row, path: Path) -> dict[str, str]:
    if row.values.get("subset") != "training":
        subset = found(row.values.get("subset"))
        problem = f"expected the subset training, found {subset}"
        raise wrong(path, f"{row.prefix}subset", problem)
    steps = row.rows("annotations")
    return {step.number_or_name("id"): step.visible_text("sentence") for step in steps}
