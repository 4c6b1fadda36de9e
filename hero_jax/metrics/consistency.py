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
    queries. Beside each stand what lists in random order would reach ("_chance"), and
    what the lists of other queries do ("_shuffled"), which agree as far as some videos
    stand high whatever is asked. Equal scores stand in opposite orders in the two
    languages, so a model that tells nothing apart agrees with itself on nothing. One
    query alone has no others: its "_shuffled" are nan.
    """
    k, num_videos = min(k, first.shape[1]), first.shape[1]
    chance = (1 / num_videos, k / num_videos, 0.0)
    shuffled = np.roll(second, max(1, len(second) // 2), axis=0)
    names = ("same_top1", f"overlap@{k}", "rank_correlation")
    others = _agreement(first, shuffled, k) if len(first) > 1 else (np.nan,) * 3
    parts = zip(names, _agreement(first, second, k), others)
    found: dict[str, float] = {}
    for (name, true, other), by_chance in zip(parts, chance):
        found |= {name: true, f"{name}_chance": by_chance, f"{name}_shuffled": other}
    return found


def _agreement(
    first: Float[np.ndarray, "Q B"], second: Float[np.ndarray, "Q B"], k: int
) -> tuple[float, float, float]:
    tops = best(first, k), best(second, k, is_lower_first=False)
    return (
        float(np.mean(tops[0][:, 0] == tops[1][:, 0])),
        float(np.mean(overlap(*tops))),
        float(np.mean(np.nan_to_num(rank_correlations(first, second)))),
    )


def best(
    scores: Float[np.ndarray, "Q B"], k: int, *, is_lower_first: bool = True
) -> Int[np.ndarray, "Q K"]:
    """The best `k` videos of each query; of equal scores the lower position first, or
    the higher."""
    if is_lower_first:
        return np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :k]


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
