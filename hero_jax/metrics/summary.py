"""One table of numbers for one set of queries on one corpus."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from hero_jax.metrics.chance import moment_chance, video_chance
from hero_jax.metrics.recall import (
    THRESHOLDS,
    Moments,
    Rows,
    moment_rank,
    ranking,
    recalls,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Answers:
    """What was asked and what was answered, for the queries whose video is known."""

    video_ranks: np.ndarray
    """Rank of the true video in the whole corpus, 1 the best."""
    videos: Sequence[int]
    """The true video's position in the corpus."""
    moments: Sequence[Moments]
    """True moments in seconds; empty where the annotation has none."""
    kinds: Sequence[str]
    """Query types: "v", "t", "vt", or "" where unknown."""
    svmr: Rows | None = None
    """Moments in the true video; None without a local objective."""
    vcmr: Rows | None = None
    """Moments in the corpus; None without a local objective."""

    def only(self, chosen: np.ndarray) -> "Answers":
        """The chosen queries."""
        pick = lambda sequence: [sequence[i] for i in chosen]
        return Answers(
            np.asarray(self.video_ranks)[chosen],
            pick(self.videos),
            pick(self.moments),
            pick(self.kinds),
            None if self.svmr is None else pick(self.svmr),
            None if self.vcmr is None else pick(self.vcmr),
        )


def summary(answers: Answers, spans: Sequence[np.ndarray]) -> dict[str, Any]:
    """The entry of results.json for these queries: VR, SVMR, VCMR, by type and chance.

    `spans[v]` are the candidate spans of video v in seconds, for the chance level.
    Recalls are percentages, MRR lies between 0 and 1, nothing is rounded. SVMR and VCMR
    are None where nothing was answered or no query has a moment; a type nobody asked
    is absent.
    """
    kinds = np.asarray(answers.kinds)
    named = sorted(set(answers.kinds) - {""})
    by_type = {
        kind: _scores(answers.only(np.flatnonzero(kinds == kind))) for kind in named
    }
    return _scores(answers) | {
        "by_type": by_type,
        "num_videos": len(spans),
        "chance": _chance(answers, spans),
    }


def _scores(answers: Answers) -> dict[str, Any]:
    return {
        "VR": ranking(answers.video_ranks) if len(answers.videos) else None,
        "SVMR": _moment_recalls(answers, answers.svmr),
        "VCMR": _moment_recalls(answers, answers.vcmr),
        "num_queries": len(answers.videos),
    }


def _moment_recalls(answers: Answers, rows: Rows | None) -> dict[str, Any] | None:
    """Recalls by IoU threshold over the queries that have a moment."""
    known = _with_moment(answers)
    if rows is None or not len(known):
        return None
    rank = lambda i, threshold: moment_rank(
        rows[i], answers.videos[i], answers.moments[i], threshold
    )
    return {
        str(threshold): recalls(np.array([rank(i, threshold) for i in known]))
        for threshold in THRESHOLDS
    }


def _chance(answers: Answers, spans: Sequence[np.ndarray]) -> dict[str, Any]:
    asked = answers.only(_with_moment(answers))
    expected = lambda is_corpus: (
        moment_chance(spans, asked.videos, asked.moments, is_corpus=is_corpus)
        if len(asked.videos)
        else None
    )
    return {
        "VR": video_chance(len(spans)),
        "SVMR": expected(False),
        "VCMR": expected(True),
    }


def _with_moment(answers: Answers) -> np.ndarray:
    return np.flatnonzero([len(moments) > 0 for moments in answers.moments])
