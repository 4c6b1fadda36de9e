"""Raw releases of TVR, How2R, DiDeMo, MSR-VTT, YC2R and VATEX-EN-R, made up.

All six are about the same boxes at the same times, so that a model of one size reads
them all. Frames of `write_features` show which box a video is about, and when.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.data_pipelines import miniature

SPLITS = {"train": range(6), "val": range(6, 9), "test_public": range(9, 12)}
DURATION = 12.0
NUM_FRAMES = 8
THINGS = (
    "key", "hat", "map", "cup", "bell", "rope",
    "coin", "lamp", "fan", "pen", "jar", "saw",
)  # fmt: skip
MOMENTS = ([0.0, 4.5], [6.0, 10.5])

Row = dict[str, Any]
Texts = Callable[[int, int], Any]


def write_tvr(folder: Path) -> Path:
    kinds = ("v", "vt")
    return _write(folder, "tvr", lambda n, i: _moment(n, i) | {"type": kinds[i]})


def write_mtvr(folder: Path) -> Path:
    """TVR in two languages."""
    rows = lambda n, i: _moment(n, i, _both) | {"type": "v"}
    _write(folder, "tvr_zh_en", rows, table="tvr", texts="descs")
    said = [_said(n, _both) for n in range(12)]
    miniature.write_lines(folder / "tvqa_preprocessed_subtitles.jsonl", said)
    (folder / "tvr_zh_en_subtitles.jsonl").unlink()
    return folder


def write_how2r(folder: Path) -> Path:
    return _write(folder, "how2r", _moment)


def write_didemo(folder: Path) -> Path:
    """One moment in training, four people's in the other splits."""

    def row(number: int, i: int) -> Row:
        one = _moment(number, i)
        start, end = one["ts"]
        many = [
            [start, end],
            [start, end],
            [start, end + 1.5],
            [start + 3.0, end + 3.0],
        ]
        return one if number in SPLITS["train"] else one | {"ts": many}

    return _write(folder, "didemo", row)


def write_msrvtt(folder: Path) -> Path:
    """Captions are told apart by another name in training than in tests."""

    def row(number: int, i: int) -> Row:
        one = {"clip_name": video(number), "caption": _english(number, i)}
        is_test = number in SPLITS["test_public"]
        name = {"retrieval_key": f"ret{number}-{i}"} if is_test else {}
        return one | (name or {"sen_id": 2 * number + i})

    _write(folder, "msrvtt", row, table="msrvtt")
    (folder / "msrvtt_subtitles.jsonl").replace(folder / "msrvtt_asr.jsonl")
    return folder


def write_yc2r(folder: Path) -> Path:
    return _write(folder, "yc2r", _whole)


def write_vatex_en_r(folder: Path) -> Path:
    return _write(folder, "vatex_en_r", _whole)


WRITERS: Mapping[str, Callable[[Path], Path]] = {
    "tvr": write_tvr,
    "mtvr": write_mtvr,
    "how2r": write_how2r,
    "didemo": write_didemo,
    "msrvtt": write_msrvtt,
    "yc2r": write_yc2r,
    "vatex_en_r": write_vatex_en_r,
}


def write_features(folder: Path) -> Path:
    """[8, 16]: which box, in which half; a little of it everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(12):
        frames = np.zeros((NUM_FRAMES, 16), np.float32)
        frames[:, number] = 1
        frames[: NUM_FRAMES // 2, 12:14] = 1
        frames[NUM_FRAMES // 2 :, 14:] = 1
        np.savez(folder / f"{video(number)}.npz", features=frames)
    return folder


def video(number: int) -> str:
    return f"v{number}_{number % 2}"


def _english(number: int, i: int) -> str:
    return f"Ann {('opens', 'shuts')[i]} the box with the {THINGS[number]}."


def _both(number: int, i: int) -> dict[str, str]:
    chinese = f"安{('打开', '关上')[i]}第{number}个盒子。"
    return {"en": _english(number, i), "zh": chinese}


def _whole(number: int, i: int, texts: Texts = _english) -> Row:
    name = "desc" if texts is _english else "descs"
    return {
        "desc_id": 2 * number + i,
        name: texts(number, i),
        "vid_name": video(number),
        "duration": DURATION,
    }


def _moment(number: int, i: int, texts: Texts = _english) -> Row:
    return _whole(number, i, texts) | {"ts": MOMENTS[i]}


def _said(number: int, texts: Texts = _english) -> Row:
    lines = [
        {"text": texts(number, i), "start": start, "end": end}
        for i, (start, end) in enumerate(MOMENTS)
    ]
    return {"vid_name": video(number), "sub": lines}


def _write(
    folder: Path,
    dataset: str,
    row: Callable[[int, int], Row],
    *,
    table: str = "",
    texts: str = "desc",
) -> Path:
    """Two queries a video; of the test split only TVR keeps the truth to itself."""
    for split, numbers in SPLITS.items():
        rows = [row(n, i) for n in numbers for i in range(2)]
        if dataset.startswith("tvr") and split == "test_public":
            rows = [{k: one[k] for k in ("desc_id", texts)} for one in rows]
        miniature.write_lines(folder / f"{dataset}_{split}_release.jsonl", rows)
    lines = [_said(n) for n in range(12)]
    miniature.write_lines(folder / f"{dataset}_subtitles.jsonl", lines)
    durations = {
        split: {video(n): [DURATION, 100 + n] for n in numbers}
        for split, numbers in SPLITS.items()
    }
    name = f"{table or dataset}_video2dur_idx.json"
    miniature.write_json(folder / name, durations)
    return folder
