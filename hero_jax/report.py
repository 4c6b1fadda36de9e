"""The results of a run: the file they are kept in, and their tables for a terminal.

    results[objective][query language][subtitle language] -> a cell

A cell holds "VR" (R@1, R@5, R@10, R@100 in percent, MedR, MRR in 0-1), "SVMR" and
"VCMR" (each {"0.5": ..., "0.7": ...} by temporal IoU, or None without a local
objective), "by_type" (query type -> the same), "num_queries", "num_videos" and
"chance" (what guessing would reach). `report_html` draws the same as a page.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from hero_jax.errors import UserError, one_line
from hero_jax.logs import read_lines

Cell = Mapping[str, Any]
"""query language -> subtitle language -> cell."""
Matrix = Mapping[str, Mapping[str, Cell]]
"""query language -> subtitle language -> cell."""
Results = Mapping[str, Matrix]
Curves = Mapping[str, Mapping[str, Sequence[tuple[int, float]]]]
"""objective -> term -> (step, value)."""

NO_LOCAL = "no local objective"
UNKNOWN = (
    "no true answer of this split is known, so nothing is measured; what was "
    "answered is in the run's predictions"
)
NO_SUBTITLES = "none"


@dataclasses.dataclass(frozen=True)
class Hit:
    """One retrieved video and the moment predicted in it, in seconds."""

    video_id: str
    score: float
    start: float
    end: float
    duration: float
    """Length of the whole video."""
    thumbnails: tuple[bytes, ...] = ()
    """PNG or JPEG files, in the order of time."""


@dataclasses.dataclass(frozen=True)
class Example:
    """A query and what was retrieved for it, best first."""

    query_id: str
    query: str
    language: str
    kind: str
    """Query type: "v", "t", "vt" or "" where unknown."""
    video_id: str
    moment: tuple[float, float]
    """The true video and the true moment in it, in seconds."""
    hits: tuple[Hit, ...]
    objective: str = ""
    subtitles: str = ""
    """Language of the subtitles that were searched."""


def write_results(path: Path, results: Results, meta: Mapping[str, Any]) -> None:
    """Writes {"results": ..., "meta": ...}; the file is whole or absent, never half."""
    text = json.dumps(plain({"results": results, "meta": meta}), indent=1)
    write_whole(Path(path), text + "\n")


def read_results(path: Path) -> tuple[Results, Mapping[str, Any]]:
    """The results and the meta data that `write_results` wrote.

    Raises UserError for a file that holds no such thing.
    """
    try:
        content = json.loads(Path(path).read_text("utf-8"))
        results, meta = content["results"], content["meta"]
        if not isinstance(results, dict) or not isinstance(meta, dict):
            raise TypeError("results and meta must be objects")
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: found no results ({one_line(error)}); remove the file, and the "
            "same command writes it again"
        ) from None
    return results, meta


def plain(value: Any) -> Any:
    """JSON's own types: numpy scalars become numbers, NaN and infinity null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, int | float) else str(value)


def read_curves(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Loss and terms of each task -> (step, value), from a `metrics.jsonl`."""
    curves: dict[str, dict[int, float]] = {}
    for entry in read_lines(path):
        for term, value in entry.items():
            if is_curve(term, value):
                curves.setdefault(term, {})[entry["step"]] = float(value)
    is_part = lambda term: not term.endswith("loss")
    return {term: sorted(curves[term].items()) for term in sorted(curves, key=is_part)}


def is_curve(term: str, value: Any) -> bool:
    """What tasks report is named `task/term`; speed and schedules are not."""
    return "/" in term and isinstance(value, int | float) and math.isfinite(value)


@dataclasses.dataclass(frozen=True)
class Measure:
    """One number of a cell: its title, where it stands, and how it is printed."""

    title: str
    path: tuple[str, ...]
    is_percentage: bool = True

    def of(self, cell: Cell | None) -> float | None:
        """The number, or None where the cell does not have it."""
        found: Any = cell
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return None if found is None or isinstance(found, str) else float(found)

    def chance(self, cell: Cell) -> float | None:
        """What guessing would reach at this number."""
        return self.of(cell.get("chance"))

    def show(self, value: float | None) -> str:
        if value is None:
            return "–"
        if self.is_percentage:
            return f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.2g}"
        return f"{value:.3f}".removeprefix("0")


VR_MRR = Measure("VR MRR", ("VR", "MRR"), is_percentage=False)
VR_R1 = Measure("VR R@1 %", ("VR", "R@1"))
LOCAL = tuple(
    Measure(f"{task} R@1 % at IoU {iou}", (task, iou, "R@1"))
    for task in ("SVMR", "VCMR")
    for iou in ("0.5", "0.7")
)


def has_local(matrix: Matrix) -> bool:
    """Whether an objective was trained to find moments."""
    return any(LOCAL[0].of(cell) is not None for cell in cells(matrix))


def cells(matrix: Matrix) -> list[Cell]:
    return [cell for row in matrix.values() for cell in row.values()]


def subtitle_languages(matrix: Matrix) -> list[str]:
    """Columns of a language matrix, "none" last."""
    names = dict.fromkeys(itertools.chain.from_iterable(matrix.values()))
    return sorted(names, key=lambda name: name == NO_SUBTITLES)


def query_types(matrix: Matrix) -> list[str]:
    return list(dict.fromkeys(k for c in cells(matrix) for k in c.get("by_type") or ()))


def tables(results: Results) -> str:
    """The language matrix of every objective: query language down, subtitles across."""
    return "\n\n".join(
        "\n".join(objective_table(name, matrix)) for name, matrix in results.items()
    )


def shown(name: str, results: Mapping[str, Any]) -> str:
    """A language matrix as its tables; the numbers of any other task a line each."""
    found = [cell for row in results.values() for cell in _entries(row)]
    if found and all(isinstance(cell, Mapping) and "VR" in cell for cell in found):
        return tables({name: results})
    return "\n".join(_lines(results, name)) or f"{name}: {UNKNOWN}"


def _entries(row: Any) -> list[Any]:
    return list(row.values()) if isinstance(row, Mapping) else [row]


def _lines(value: Any, name: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key in value:
            yield from _lines(value[key], f"{name}/{key}")
    else:
        yield f"{name}: {value:.6g}" if isinstance(value, float) else f"{name}: {value}"


def objective_table(name: str, matrix: Matrix) -> list[str]:
    first = cells(matrix)[0]
    if not first["num_queries"]:
        return [f"{name}: {UNKNOWN}"]
    heading = (
        f"{name}: queries down, subtitles across "
        f"({first['num_queries']} queries, {first['num_videos']} videos)"
    )
    return [
        heading,
        *beside(grid(matrix, (VR_MRR,)), grid(matrix, (VR_R1,))),
        *local_table(matrix),
        *type_table(matrix),
    ]


def local_table(matrix: Matrix) -> list[str]:
    if not has_local(matrix):
        return [f"  SVMR, VCMR: {NO_LOCAL}"]
    return beside(grid(matrix, LOCAL[:2]), grid(matrix, LOCAL[2:]))


def type_table(matrix: Matrix) -> list[str]:
    kinds = query_types(matrix)
    if not kinds:
        return []
    title = f"VR MRR by query type, {' / '.join(kinds)}"
    shown = lambda cell: "/".join(
        VR_MRR.show(VR_MRR.of(cell["by_type"].get(kind))) for kind in kinds
    )
    return layout(title, matrix, shown)


def grid(matrix: Matrix, measures: Sequence[Measure]) -> list[str]:
    """One or two numbers for every pair of languages, with chance in the title."""
    by_chance = [m.show(m.chance(cells(matrix)[0])) for m in measures]
    title = measures[0].title + "".join(
        f" / {m.title.rsplit(' ', 1)[1]}" for m in measures[1:]
    )
    if set(by_chance) != {"–"}:
        title += f" (chance {' / '.join(by_chance)})"
    return layout(
        title, matrix, lambda cell: "/".join(m.show(m.of(cell)) for m in measures)
    )


def layout(
    title: str,
    matrix: Matrix,
    show: Callable[[Cell], str],
) -> list[str]:
    """A title, the subtitle languages, and a row for every query language."""
    columns = subtitle_languages(matrix)
    rows = [["", *columns]] + [
        [language, *(show(row[column]) if column in row else "–" for column in columns)]
        for language, row in matrix.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [f"  {title}"] + [
        "    " + "  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True))
        for row in rows
    ]


def beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Two blocks of lines, the second to the right of the first."""
    width = max(map(len, left)) + 2
    pairs = itertools.zip_longest(left, right, fillvalue="")
    return [(a.ljust(width) + b).rstrip() for a, b in pairs]
