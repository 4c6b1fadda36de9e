"""What comes of a run of VALUE: its numbers, and what is handed in (F.7, F.9)."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hero_jax.metrics import predictions, value
from hero_jax.tasks.base import Task
from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.encoder import NO_SUBTITLES
from hero_jax.tasks.moment_retrieval import MomentRetrieval


@dataclasses.dataclass(frozen=True)
class Part:
    """A task's part of a submission."""

    name: str
    task: Any
    split: str


def cell_of(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """What counts: the first language, of videos with its subtitles or without any."""
    language, row = next(iter(results.items()))
    return row.get(language) or row.get(NO_SUBTITLES) or {}


def scores(results: Mapping[str, Any]) -> dict[str, float]:
    """VALUE's number of every task whose truth is known."""
    found = {
        name: value.score(name, cell_of(one)) for name, one in results.items() if one
    }
    return {name: number for name, number in found.items() if number is not None}


def table(found: Mapping[str, float], splits: Mapping[str, str]) -> Iterator[str]:
    """A line a task, and the means."""
    for name, split in splits.items():
        shown = f"{found[name]:8.2f}" if name in found else "  hidden"
        yield f"{name:>14} {split:>12} {shown}"
    for name, mean in value.means(found).items():
        yield f"{name:>14} {'':12} {mean:8.2f}"


def pack(target: Path, folder: Path, parts: Iterable[Part]) -> None:
    """submission.zip: a folder a task, with one file in VALUE's format (F.9)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            for path in files_of(part, folder / part.name):
                inside = f"{part.name}/{part.split}{path.suffix}"
                text = handed_in(part.task, path.read_text("utf-8"))
                archive.writestr(inside, text)
    target.write_bytes(packed.getvalue())


def files_of(part: Part, folder: Path) -> list[Path]:
    """The prediction file of texts and videos in the first language, if there is one;
    of videos without subtitles where they have none."""
    is_captions = isinstance(part.task, Captioning)
    kind = "captions" if is_captions else getattr(part.task, "kind", "")
    start, suffix = f"{kind}-" if kind else "", "jsonl" if is_captions else "json"
    language = part.task.source.open(part.split).languages[0]
    readings = (language, NO_SUBTITLES)
    paths = [folder / f"{start}{language}-{reading}.{suffix}" for reading in readings]
    return [path for path in paths if path.exists()][:1]


def handed_in(task: Task, text: str) -> str:
    """What a prediction file holds, as VALUE wants it."""
    if isinstance(task, Captioning):
        rows = map(json.loads, text.splitlines())
        return "".join(
            json.dumps(predictions.value_caption(row)) + "\n" for row in rows
        )
    if isinstance(task, MomentRetrieval):
        return json.dumps(predictions.handed_in(json.loads(text)))
    return text
