"""One table of numbers for one set of queries on one corpus."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hero_jax.metrics.chance import moment_chances, video_chance
from hero_jax.metrics.recall import (
    THRESHOLDS,
    Moments,
    Rows,
    moment_ranks,
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


@dataclasses.dataclass(frozen=True, eq=False)
class Ranks:
    """Of the first correct answer to each query, by what is looked for."""

    video: np.ndarray
    has_moment: np.ndarray
    """Queries without a true moment count for videos alone."""
    moments: Mapping[str, Mapping[str, np.ndarray] | None]
    """"SVMR" and "VCMR" -> IoU threshold -> ranks; None without a local objective, and
    where no query has a moment."""

    @classmethod
    def of(cls, answers: Answers) -> "Ranks":
        return cls(
            np.asarray(answers.video_ranks),
            np.array([len(moments) > 0 for moments in answers.moments], bool),
            {
                "SVMR": _moment_ranks(answers, answers.svmr),
                "VCMR": _moment_ranks(answers, answers.vcmr),
            },
        )


def summary(answers: Answers, spans: Sequence[np.ndarray]) -> dict[str, Any]:
    """The entry of results.json for these queries: VR, SVMR, VCMR, by type and chance.

    `spans[v]` are the candidate spans of video v in seconds, for the chance level.
    Recalls are percentages, MRR lies between 0 and 1, nothing is rounded. SVMR and VCMR
    are None where nothing was answered or no query has a moment; a type nobody asked
    is absent.
    """
    kinds, ranks = np.asarray(answers.kinds), Ranks.of(answers)
    named = sorted(set(answers.kinds) - {""})
    everything = np.ones(len(kinds), bool)
    return _scores(ranks, everything) | {
        "by_type": {kind: _scores(ranks, kinds == kind) for kind in named},
        "num_videos": len(spans),
        "chance": _chance(answers, ranks.has_moment, spans),
    }


def _moment_ranks(answers: Answers, rows: Rows | None) -> dict[str, np.ndarray] | None:
    if rows is None or not any(map(len, answers.moments)):
        return None
    return {
        str(threshold): moment_ranks(rows, answers.videos, answers.moments, threshold)
        for threshold in THRESHOLDS
    }


def _scores(ranks: Ranks, chosen: np.ndarray) -> dict[str, Any]:
    """The numbers of the chosen queries."""
    found = {
        task: _recalls(of_task, chosen & ranks.has_moment)
        for task, of_task in ranks.moments.items()
    }
    videos = ranking(ranks.video[chosen]) if np.any(chosen) else None
    return {"VR": videos, **found, "num_queries": int(np.sum(chosen))}


def _recalls(
    ranks: Mapping[str, np.ndarray] | None, chosen: np.ndarray
) -> dict[str, Any] | None:
    if ranks is None or not np.any(chosen):
        return None
    return {threshold: recalls(ranks[threshold][chosen]) for threshold in ranks}


def _chance(
    answers: Answers, has_moment: np.ndarray, spans: Sequence[np.ndarray]
) -> dict[str, Any]:
    asked = np.flatnonzero(has_moment).tolist()
    videos = [answers.videos[i] for i in asked]
    moments = [answers.moments[i] for i in asked]
    nothing = {"SVMR": None, "VCMR": None}
    expected = moment_chances(spans, videos, moments) if videos else nothing
    return {"VR": video_chance(len(spans)), **expected}
