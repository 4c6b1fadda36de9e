"""Raw releases of TVQA, How2QA, VLEP and VIOLIN, small enough to read."""

from pathlib import Path
from typing import Any

from tests.data_pipelines import miniature

SPLITS = {"train": ("v0", "v1"), "val": ("v2",), "test_public": ("v3",)}
VIDEOS = tuple(video for ids in SPLITS.values() for video in ids)


def write_tvqa(folder: Path) -> Path:
    return _write(folder, "tvqa", lambda n, v: [question(n, v, 5)])


def write_how2qa(folder: Path) -> Path:
    return _write(folder, "how2qa", lambda n, v: [question(n, v, 4)], "_release")


def write_vlep(folder: Path) -> Path:
    return _write(folder, "vlep", lambda n, v: [events(n, v)], "_release")


def write_violin(folder: Path) -> Path:
    return _write(folder, "violin", statements)


def question(number: int, video: str, num_answers: int) -> dict[str, Any]:
    label = number % num_answers
    boxes = [(i - label) % num_answers for i in range(num_answers)]  # it is box 0
    answers = {f"a{i}": f"Box {box}." for i, box in enumerate(boxes)}
    return {
        "qid": number,
        "q": f"Which box does Ann open in {video}?",
        **answers,
        "answer_idx": label,
        "vid_name": video,
        "show_name": "Boxes",
        "ts": "1.00-4.50",
    }


def events(number: int, video: str) -> dict[str, Any]:
    happens, other = "Ann opens the box.", "Ann leaves."
    return {
        "example_id": number,
        "vid_name": video,
        "ts": [1.0, 4.5],
        "events": [other, happens] if number % 2 else [happens, other],
        "answer": number % 2,
        "split": "train",
    }


def statements(number: int, video: str) -> list[dict[str, Any]]:
    return [
        {
            "example_id": 2 * number + answer,
            "statement": f"Ann opens {'a' if answer else 'no'} box in {video}.",
            "answer": answer,
            "vid_name": video,
            "paired_id": f"{video}-0-{answer}",
        }
        for answer in (0, 1)
    ]


def _write(folder: Path, dataset: str, rows_of: Any, suffix: str = "") -> Path:
    """Two lines a video; the test split keeps its answers to itself."""
    for split, videos in SPLITS.items():
        rows = [
            row
            for video in videos
            for i in range(1 if dataset == "violin" else 2)
            for row in rows_of(2 * int(video[1:]) + i, video)
        ]
        hidden = ("answer_idx", "answer", "ts") if split == "test_public" else ()
        rows = [{k: x for k, x in row.items() if k not in hidden} for row in rows]
        miniature.write_lines(folder / f"{dataset}_{split}{suffix}.jsonl", rows)
    said = [
        {"text": text, "start": 1.0 + 2 * i, "end": 2.5 + 2 * i}
        for i, text in enumerate(miniature.SAID["en"])
    ]
    lines = [{"vid_name": v, "sub": said} for v in (*VIDEOS, "elsewhere")]
    miniature.write_lines(folder / f"{dataset}_subtitles.jsonl", lines)
    table = {"all": {v: [miniature.duration_of(v), i] for i, v in enumerate(VIDEOS)}}
    miniature.write_json(folder / f"{dataset}_video2dur_idx.json", table)
    return folder
