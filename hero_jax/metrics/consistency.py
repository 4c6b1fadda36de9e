"""Whether a question asked in two languages gets the same answers."""

import numpy as np
from scipy import stats

from hero_jax.types import Float, Int


def consistency(
    first: Float[np.ndarray, "Q B"], second: Float[np.ndarray, "Q B"], *, k: int = 10
) -> dict[str, float]:
    """Agreement of the scores of the same queries in two languages, over all videos.

    "same_top1" and "overlap@k" are shares in 0..1 (the second of the first k videos in
    any order), "rank_correlation" is Spearman's over the whole corpus, averaged over
    queries. What unrelated lists of this corpus would reach stands beside each.
    """
    k, num_videos = min(k, first.shape[1]), first.shape[1]
    tops = [best(scores, k) for scores in (first, second)]
    return {
        "same_top1": float(np.mean(tops[0][:, 0] == tops[1][:, 0])),
        "same_top1_chance": 1 / num_videos,
        f"overlap@{k}": float(np.mean(overlap(*tops))),
        f"overlap@{k}_chance": k / num_videos,
        "rank_correlation": float(np.nanmean(rank_correlations(first, second))),
        "rank_correlation_chance": 0.0,
    }


def best(scores: Float[np.ndarray, "Q B"], k: int) -> Int[np.ndarray, "Q K"]:
    """The best `k` videos of each query; of equal scores the lower position first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def overlap(
    first: Int[np.ndarray, "Q K"], second: Int[np.ndarray, "Q K"]
) -> Float[np.ndarray, "Q"]:
    """Share of each list that is in the other; both name every video at most once."""
    shared = first[:, :, None] == second[:, None, :]
    return np.sum(shared, axis=(1, 2)) / first.shape[1]


def rank_correlations(
    first: Float[np.ndarray, "Q B"], second: Float[np.ndarray, "Q B"]
) -> Float[np.ndarray, "Q"]:
    """Spearman's coefficient of each query; equal scores share their mean rank."""
    ranks = [stats.rankdata(scores, axis=1) for scores in (first, second)]
    x, y = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    scale = np.sqrt(np.sum(x * x, axis=1) * np.sum(y * y, axis=1))
    nothing = np.full(len(x), np.nan)  # all scores equal: no order to compare
    return np.divide(np.sum(x * y, axis=1), scale, out=nothing, where=scale > 0)
