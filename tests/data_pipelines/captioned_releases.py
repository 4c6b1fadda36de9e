"""Raw releases of TVC, YC2C and VATEX-EN-C, small enough to read."""

from pathlib import Path
from typing import Any

import numpy as np

from tests.data_pipelines import miniature

SPLITS = {"train": (0, 1, 2), "val": (3,), "test_public": (4,)}


def write_tvc(folder: Path) -> Path:
    return _write(folder, "tvc", lambda n: f"v{n}", ([1.0, 4.5], [3.0, 9.0]))


def write_yc2c(folder: Path) -> Path:
    """Two segments of each longer video."""
    return _write(folder, "yc2c", lambda n: f"v{n // 2}_{n % 2}", (None,))


def write_vatex_en_c(folder: Path) -> Path:
    return _write(folder, "vatex_en_c", lambda n: f"v{n}", (None,))


THINGS = ("key", "hat", "map")


def write_learnable(folder: Path, dataset: str, *, num_train: int = 9) -> Path:
    """Videos that show one of three things, and a sentence that says which.

    `folder/features` has their frames. No two neighbours show the same, nor any two
    that are half a split apart.
    """
    numbers = {
        "train": range(num_train),
        "val": range(num_train, num_train + 3),
        "test_public": range(num_train + 3, num_train + 7),
    }
    for split, ones in numbers.items():
        rows = [_telling(n) for n in ones]
        miniature.write_lines(folder / f"{dataset}_{split}_release.jsonl", rows)
    (folder / "features").mkdir()
    draw = np.random.default_rng(0).standard_normal
    for n in range(num_train + 7):
        frames = draw((4, 8), np.float32) / 10
        frames[:, n % 3] += 1
        np.savez(folder / f"features/{_segment(n)}.npz", features=frames)
    return folder


def _segment(number: int) -> str:
    """Two segments of each longer video."""
    return f"v{number // 2}_{number % 2}"


def _telling(number: int) -> dict[str, Any]:
    text = f"Ann takes the {THINGS[number % 3]}."
    row = {"clip_id": number, "vid_name": _segment(number), "duration": 6.0}
    return row | {"descs": [{"desc": text, "desc_id": number}]}


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
