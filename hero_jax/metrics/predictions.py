"""Prediction files in the submission format of TVR (E.6, F.9).

{"video2idx": {video_id: index}, "VCMR": [{"desc_id", "desc", "predictions":
 [[index, start, end, score], ...]}], "SVMR": the same in the true video,
 "VR": [[index, 0, 0, score], ...] in the place of the moments}
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hero_jax.metrics.recall import Rows


def submission(
    query_ids: Sequence[str],
    video_indices: Mapping[str, int],
    tasks: Mapping[str, Rows],
) -> dict[str, Any]:
    """`tasks` maps "VCMR", "SVMR" and "VR" to the answers to every query.

    Without ground truth there is no true video, and "SVMR" is left out. The order of
    `video_indices` is that of the corpus: the videos of the rows are places in it.
    Texts stay out of the file, since not every licence lets them be passed on.
    """
    index_of = np.array(list(video_indices.values()))
    entries = {
        task: [
            _entry(query, index_of, answer) for query, answer in zip(query_ids, rows)
        ]
        for task, rows in tasks.items()
    }
    return {"video2idx": dict(video_indices)} | entries


def video_rows(videos: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """Found videos [Q, K] as rows without times, (video, 0, 0, score)."""
    nothing = np.zeros(videos.shape)
    return list(np.stack([videos, nothing, nothing, scores], axis=-1))


def write_json(path: Path, content: Any) -> None:
    """Writes the file as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    os.replace(partial, path)


def _entry(query_id: str, index_of: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    predictions = [
        [int(index_of[int(video)]), float(start), float(end), float(score)]
        for video, start, end, score in rows
    ]
    number = int(query_id) if query_id.isdecimal() else query_id
    return {"desc_id": number, "desc": "", "predictions": predictions}
