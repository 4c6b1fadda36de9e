"""Raw releases small enough to read: what microtv and mTVR look like on disk."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

LANGUAGES = ("en", "zh")
SPLITS = {"train": ("v0", "v1", "v2"), "val": ("v3",), "test": ("v4", "v5")}
VIDEOS = tuple(video_id for ids in SPLITS.values() for video_id in ids)
INTERVAL = 1.5
WIDTH = 3

SAID = {
    "en": ("Good morning.", "The key is in the box."),
    "zh": ("早上好。", "钥匙在盒子里。"),
}
SEEN = {
    "en": "Ann opens the box number {}.",
    "zh": "安打开第{}个盒子。",
    "google_zh": "Ann打开盒子号{}。",
}


def duration_of(video_id: str) -> float:
    """7.4, 8.9, 10.4 ... seconds: 5, 6, 7 ... frames, no two alike."""
    return round(7.4 + 1.5 * int(video_id.removeprefix("v")), 2)


def frames_of(video_id: str) -> np.ndarray:
    """[5 .., WIDTH]: every number tells its video, frame and column."""
    number = int(video_id.removeprefix("v"))
    frames, columns = np.mgrid[: 5 + number, :WIDTH]
    return (100 * number + frames + columns / 10).astype(np.float32)


def write_microtv(folder: Path) -> Path:
    """A release with six videos in three splits, without the video files."""
    write_json(
        folder / "manifest.json",
        {
            "format": 1,
            "dataset": "microtv",
            "seed": 0,
            "num_videos": len(VIDEOS),
            "languages": list(LANGUAGES),
            "splits": {split: list(ids) for split, ids in SPLITS.items()},
        },
    )
    for video_id in VIDEOS:
        for language in LANGUAGES:
            write_srt(folder / "subtitles" / f"{video_id}.{language}.srt", language)
    for split, ids in SPLITS.items():
        rows = [annotation(int(v[1:]), v, LANGUAGES) for v in ids]
        write_lines(folder / "annotations" / f"tvr_{split}.jsonl", rows)
    return folder


def write_mtvr(folder: Path) -> Path:
    """A release with five videos of five queries in val, and texts of two tests."""
    val, keys = [f"v{i}" for i in range(5)], tuple(SEEN)
    table = {
        "test_challenge": {"v8": [duration_of("v8"), 0]},
        "test_public": {"v7": [duration_of("v7"), 1]},
        "train": {"v5": [duration_of("v5"), 2], "v6": [duration_of("v6"), 3]},
        "val": {v: [duration_of(v), 4 + i] for i, v in enumerate(val)},
    }
    write_json(folder / "tvr_video2dur_idx.json", table)
    rows = [annotation(100 + 5 * i + j, v, keys, j) for i, v in enumerate(val)
            for j in range(5)]  # fmt: skip
    write_lines(folder / "tvr_zh_en_val_release.jsonl", rows)
    for first, split in ((200, "test_public"), (300, "test_challenge")):
        texts = [{"desc_id": first + i, "descs": seen(first + i, keys)} for i in (0, 1)]
        write_lines(folder / f"tvr_zh_en_{split}_release.jsonl", texts)
    return folder


def write_captions(folder: Path) -> Path:
    """TVC's machine captions of the moments of mTVR's five videos, in this folder."""
    rows = [
        {"vid_name": f"v{i}", "clip_id": 900 + 5 * i + j, "ts": [j, j + 1.25],
         "descs": [{"desc": f"ann touches box {i} at {j} ."}]}
        for i in range(5) for j in range(5)
    ]  # fmt: skip
    write_lines(folder / "sample_val_predictions.jsonl", rows)
    return folder


def write_vatex(folder: Path) -> Path:
    """Twelve videos of ten seconds in two parts, each with ten captions in English and
    Chinese, and the English ones by a machine; one translation is missing."""
    for part, numbers in (("val", range(6)), ("test", range(6, 12))):
        names = [f"y_-{number}_000003_000013" for number in numbers]
        lines = {
            "": [f"{v}#enc#{i} english {i} of {v}" for v in names for i in range(10)],
            "_zh": [f"{v}#zh#{i} 中文{i}：{v}" for v in names for i in range(10)][::-1],
            "_google_enc2zh": [
                f"{v}#enc2zh#{i} 译{i}：{v}" for v in names for i in range(10)
            ],
        }
        missing = f"{names[2]}#zh#7 中文7：{names[2]}"
        lines["_zh"] = [one for one in lines["_zh"] if (part, one) != ("val", missing)]
        for kind, ones in lines.items():
            write_text(folder / f"vatex{part}{kind}.caption.txt", "\n".join(ones))
    return folder


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_features(folder: Path, videos: Iterable[str] = VIDEOS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for video_id in videos:
        np.savez(folder / f"{video_id}.npz", features=frames_of(video_id))
    return folder


def annotation(
    desc_id: int, video_id: str, keys: Iterable[str], second: int = 1
) -> dict[str, Any]:
    """One TVR line: from `second` to 1.25 s later."""
    return {
        "desc_id": desc_id,
        "vid_name": video_id,
        "duration": duration_of(video_id),
        "ts": [second, second + 1.25],
        "type": ("v", "t", "vt")[desc_id % 3],
        "descs": seen(desc_id, keys),
    }


def seen(number: int, keys: Iterable[str]) -> dict[str, str]:
    return {key: SEEN[key].format(number) for key in keys}


def write_srt(path: Path, language: str) -> None:
    """Two cues: 0.5 to 1.9 and 2.0 to 4.25 seconds."""
    first, second = SAID[language]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"1\n00:00:00,500 --> 00:00:01,900\n{first}\n\n"
        f"2\n00:00:02,000 --> 00:00:04,250\n{second}\n",
        encoding="utf-8",
    )


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
