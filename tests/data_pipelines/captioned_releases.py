"""Raw releases of TVC, YC2C and VATEX-EN-C, small enough to read."""

from pathlib import Path
from typing import Any

from tests.data_pipelines import miniature

SPLITS = {"train": (0, 1, 2), "val": (3,), "test_public": (4,)}


def write_tvc(folder: Path) -> Path:
    return _write(folder, "tvc", lambda n: f"v{n}", ([1.0, 4.5], [3.0, 9.0]))


def write_yc2c(folder: Path) -> Path:
    """Two segments of each longer video."""
    return _write(folder, "yc2c", lambda n: f"v{n // 2}_{n % 2}", (None,))


def write_vatex_en_c(folder: Path) -> Path:
    return _write(folder, "vatex_en_c", lambda n: f"v{n}", (None,))


def _write(folder: Path, dataset: str, name_of: Any, moments: Any) -> Path:
    """Two captions a moment; the test split keeps them to itself."""
    for split, numbers in SPLITS.items():
        rows = [
            _row(10 * n + i, name_of(n), times)
            for n in numbers
            for i, times in enumerate(moments)
        ]
        if split == "test_public":
            rows = [{k: v for k, v in row.items() if k != "descs"} for row in rows]
        miniature.write_lines(folder / f"{dataset}_{split}_release.jsonl", rows)
    said = [{"text": "Good morning.", "start": 1.0, "end": 2.5}]
    lines = [{"vid_name": name_of(n), "sub": said} for n in range(5)]
    miniature.write_lines(folder / f"{dataset}_subtitles.jsonl", lines)
    return folder


def _row(number: int, video: str, times: Any) -> dict[str, Any]:
    texts = (f"Ann opens box {number}.", f"A woman has box {number}.")
    row = {
        "clip_id": number,
        "vid_name": video,
        "duration": 10.5,
        "descs": [
            {"desc": text, "desc_id": 2 * number + i} for i, text in enumerate(texts)
        ],
    }
    return row if times is None else row | {"ts": times}
