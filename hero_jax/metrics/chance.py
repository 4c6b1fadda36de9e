"""What answering at random would score: the floor every metric is read against."""

from collections.abc import Sequence

import numpy as np

from hero_jax.metrics.recall import CUTOFFS, THRESHOLDS, Moments, is_correct


def video_chance(num_videos: int) -> dict[str, float]:
    """Expected metrics of a random order of the corpus; MRR is H(n) / n."""
    recalls = {f"R@{k}": 100 * min(k, num_videos) / num_videos for k in CUTOFFS}
    harmonic = float(np.sum(1 / np.arange(1, num_videos + 1)))
    return recalls | {"MedR": (num_videos + 1) / 2, "MRR": harmonic / num_videos}


def moment_chances(
    spans: Sequence[np.ndarray], videos: Sequence[int], moments: Sequence[Moments]
) -> dict[str, dict[str, dict[str, float]]]:
    """Expected recalls of a random order of the candidate spans, by IoU threshold.

    `spans[v]` are the candidates [N, 2] of video v in seconds; a query's true video is
    `videos[q]`. "VCMR" orders all videos' spans, "SVMR" those of the true video.
    Overlapping spans are not removed.
    """
    sizes = np.array([len(candidates) for candidates in spans])
    totals = {"SVMR": sizes[list(videos)], "VCMR": np.full(len(videos), sizes.sum())}
    expected: dict[str, dict[str, dict[str, float]]] = {"SVMR": {}, "VCMR": {}}
    for threshold in THRESHOLDS:
        correct = np.array(
            [
                np.sum(is_correct(spans[video], true, threshold))
                for video, true in zip(videos, moments)
            ]
        )
        for task, total in totals.items():
            expected[task][str(threshold)] = _random_recalls(total, correct)
    return expected


def candidate_spans(
    num_frames: int, interval: float, *, min_frames: int, max_frames: int
) -> np.ndarray:
    """All (start, end) in seconds with min_frames <= last - first < max_frames."""
    first, last = np.indices((num_frames, num_frames))
    length = last - first
    place = np.nonzero((min_frames <= length) & (length < max_frames))
    return np.stack([first[place], last[place] + 1], axis=1) * interval


def _random_recalls(total: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    """Chance that the first K of `total` in random order hold one of `correct`."""
    missed, recalls = np.ones(len(total)), {}
    for drawn in range(max(CUTOFFS)):
        left = total - drawn
        missed *= np.where(left > 0, np.clip(left - correct, 0, None), 1) / np.maximum(
            left, 1
        )
        if drawn + 1 in CUTOFFS:
            recalls[f"R@{drawn + 1}"] = float(100 * np.mean(1 - missed))
    return recalls
