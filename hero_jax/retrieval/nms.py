"""Removing moments that say the same as a better one (F.3)."""

import numpy as np

from hero_jax.retrieval.spans import SpanRules
from hero_jax.types import Float


def final_moments(
    rows: Float[np.ndarray, "N 4"], rules: SpanRules
) -> Float[np.ndarray, "N1 4"]:
    """What is answered to a query: its moments after suppression and cutting."""
    if rules.nms_threshold is None:
        return rows[: rules.max_after_nms]
    if rules.truncates_before_nms:
        rows = rows[: rules.max_after_nms]
    return suppress(rows, rules.nms_threshold)[: rules.max_after_nms]


def suppress(
    rows: Float[np.ndarray, "N 4"], threshold: float
) -> Float[np.ndarray, "N1 4"]:
    """Rows (video, start, end, score) without those that repeat a better one.

    Best first. A row goes if its IoU with a kept row of its own video is above the
    threshold; at the threshold it stays.
    """
    rows = rows[np.argsort(-rows[:, 3], kind="stable")]
    repeats = _overlaps(rows) > threshold
    is_kept = np.ones(len(rows), bool)
    for i in range(len(rows)):
        if is_kept[i]:
            is_kept[i + 1 :] &= ~repeats[i, i + 1 :]
    return rows[is_kept]


def _overlaps(rows: Float[np.ndarray, "N 4"]) -> Float[np.ndarray, "N N"]:
    """IoU of every two moments; 0 in different videos. The hull serves as union."""
    video, start, end = rows[:, 0], rows[:, 1], rows[:, 2]
    shared = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    hull = np.maximum(end[:, None], end) - np.minimum(start[:, None], start)
    overlap = np.maximum(shared, 0) / np.where(hull > 0, hull, 1)
    return np.where(video[:, None] == video, overlap, 0)
