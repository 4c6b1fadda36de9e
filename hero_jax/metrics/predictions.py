"""Prediction files in the submission formats of TVR and TVC (E.6, F.9).

{"video2idx": {video_id: index}, "VCMR": [{"desc_id", "desc", "predictions":
 [[index, start, end, score], ...]}], "SVMR": the same in the true video,
 "VR": [[index, 0, 0, score], ...] in the place of the moments}

Indices are the numbers of the benchmark's own table where the dataset has them. VALUE
leaves out the table and the single-video answers, and has for "VR" the videos alone.

Captions are JSON lines: {"vid_name", "clip_id", "ts", "descs": [{"desc"}]}.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def submission(
    query_ids: Sequence[str],
    video_indices: Mapping[str, int],
    tasks: Mapping[str, Sequence[np.ndarray | None]],
) -> dict[str, Any]:
    """`tasks` maps "VCMR", "SVMR" and "VR" to the answers to every query.

    A query without ground truth has no true video, so its "SVMR" is None and left out.
    The order of `video_indices` is that of the corpus: the videos of the rows are
    places in it. Texts stay out, since not every licence lets them be passed on.
    """
    index_of = np.array(list(video_indices.values()), int)
    entries = {
        task: [
            _entry(query, index_of, answer)
            for query, answer in zip(query_ids, rows)
            if answer is not None
        ]
        for task, rows in tasks.items()
    }
    return {"video2idx": dict(video_indices)} | entries


def handed_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """The submission above as VALUE wants it."""
    entries: dict[str, Any] = {}
    for task in ("VCMR", "VR"):
        for entry in content.get(task, ()):
            rows = entry["predictions"]
            found = rows if task == "VCMR" else [video for video, *_ in rows]
            answer = {"desc_id": entry["desc_id"], "predictions": found}
            entries.setdefault(task, []).append(answer)
    return entries


def caption_rows(
    captions: Sequence[tuple[str, str, tuple[float, float] | None, str]],
) -> list[dict[str, Any]]:
    """The lines of a TVC submission; `captions` are video, moment, times and text.

    Without times (YC2C, VATEX-C) a line has none.
    """
    return [
        {"vid_name": video, "clip_id": _number(name)}
        | ({} if times is None else {"ts": list(times)})
        | {"descs": [{"desc": text}]}
        for video, name, times, text in captions
    ]


def value_caption(row: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the submission above as VALUE wants it (F.9)."""
    names = {"video_id": "vid_name", "clip_id": "clip_id", "descs": "descs"}
    return {name: row[own] for name, own in names.items()}


def video_rows(videos: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Found videos [Q, K] as rows without times, (video, 0, 0, score)."""
    nothing = np.zeros(videos.shape)
    return list(np.stack([videos, nothing, nothing, scores], axis=-1))


def _entry(query_id: str, index_of: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    videos = index_of[rows[:, 0].astype(int)].tolist()
    predictions = list(zip(videos, *rows[:, 1:].T.tolist(), strict=True))
    return {"desc_id": _number(query_id), "desc": "", "predictions": predictions}


def _number(query_id: str) -> int | str:
    """Numbers as TVR writes them; an id such as "007" is a name."""
    is_number = query_id.isascii() and query_id.isdecimal()
    return int(query_id) if is_number and str(int(query_id)) == query_id else query_id
