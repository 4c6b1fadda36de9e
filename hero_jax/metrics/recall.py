"""How often, and how early, what a query is about comes up (F.4).

Every metric is a function of ranks: the place of the first correct answer to each
query, 1 the best, infinite where there is none.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hero_jax.types import Bool, Float

CUTOFFS = (1, 5, 10, 100)
THRESHOLDS = (0.5, 0.7)
"""IoU from which a predicted moment is correct."""
MANY_ANNOTATORS = 4
"""A query with so many moments (DiDeMo) needs two of them to agree with the answer."""

Moments = Sequence[tuple[float, float]]
"""The true (start, end) of a query in seconds; several where several people marked."""
Rows = Sequence[np.ndarray]
"""For each query its answers [N, 4], best first: video, start, end, score."""


def temporal_iou(
    predicted: Float[np.ndarray, "*N 2"], true: Float[np.ndarray, "*N 2"]
) -> Float[np.ndarray, "*N"]:
    """Intersection over the hull of both; 0 where the hull is empty.

    Officially the hull stands for the union. The two differ only where nothing
    intersects, and there the value is 0 either way.
    """
    shared = np.minimum(predicted[..., 1], true[..., 1]) - np.maximum(
        predicted[..., 0], true[..., 0]
    )
    hull = np.maximum(predicted[..., 1], true[..., 1]) - np.minimum(
        predicted[..., 0], true[..., 0]
    )
    return np.where(hull > 0, np.maximum(shared, 0) / np.where(hull > 0, hull, 1), 0)


def is_correct(
    predicted: Float[np.ndarray, "N 2"], moments: Moments, threshold: float
) -> np.ndarray:
    """Which predicted (start, end) agree with enough true moments, in float32."""
    predicted = np.asarray(predicted, np.float32)
    true = np.asarray(moments, np.float32).reshape(-1, 2)
    agrees = temporal_iou(predicted[:, None], true[None]) >= np.float32(threshold)
    return np.sum(agrees, axis=1) >= (2 if len(moments) >= MANY_ANNOTATORS else 1)


def moment_ranks(
    rows: Rows, videos: Sequence[int], moments: Sequence[Moments], threshold: float
) -> Float[np.ndarray, "Q"]:
    """Rank of each query's first row with the right video and a correct time."""
    counts = np.array([len(answers) for answers in rows], int)
    query = np.repeat(np.arange(len(rows)), counts)
    place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    flat = np.concatenate([np.zeros((0, 4)), *rows])
    (here,) = np.nonzero(flat[:, 0] == np.asarray(videos, int)[query])
    true, mask = _padded(moments)
    needed = np.where(np.sum(mask, axis=1) >= MANY_ANNOTATORS, 2, 1)
    asked = query[here]
    predicted = flat[here, None, 1:3].astype(np.float32)
    agrees = temporal_iou(predicted, true[asked]) >= np.float32(threshold)
    correct = np.sum(agrees & mask[asked], axis=1) >= needed[asked]
    ranks = np.full(len(rows), np.inf)
    np.minimum.at(ranks, asked[correct], place[here[correct]])
    return ranks


def _padded(
    moments: Sequence[Moments],
) -> tuple[Float[np.ndarray, "Q M 2"], Bool[np.ndarray, "Q M"]]:
    """All true moments in one array, and which of its entries are real."""
    counts = np.array([len(of_query) for of_query in moments], int)
    mask = np.arange(max(counts, default=0)) < counts[:, None]
    true = np.zeros((*mask.shape, 2), np.float32)
    true[mask] = np.reshape([m for of_query in moments for m in of_query], (-1, 2))
    return true, mask


def recalls(ranks: np.ndarray) -> dict[str, float]:
    """R@K: percentage of queries answered correctly within the first K."""
    return {f"R@{k}": float(100 * np.mean(ranks <= k)) for k in CUTOFFS}


def ranking(ranks: np.ndarray) -> dict[str, float]:
    """Recalls, median rank, and mean reciprocal rank between 0 and 1."""
    reciprocal = float(np.mean(1 / ranks))
    return recalls(ranks) | {"MedR": float(np.median(ranks)), "MRR": reciprocal}


def rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    """To two decimals, as officially; for display only."""
    return {name: round(value, 2) for name, value in metrics.items()}
