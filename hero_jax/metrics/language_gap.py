"""What a search loses when query and subtitles are in different languages."""

from collections.abc import Mapping, Sequence

import numpy as np


def language_gap(mono: float, cross: float) -> dict[str, float]:
    """ "absolute" mono - cross, "relative" to mono, "log_ratio" ln(cross / mono).

    A stronger model has a larger absolute gap at the same ratio, so the ratio compares
    arms. nan where a logarithm or a quotient does not exist.
    """
    is_positive = mono > 0
    return {
        "absolute": mono - cross,
        "relative": (mono - cross) / mono if is_positive else float("nan"),
        "log_ratio": float(np.log(cross / mono))
        if is_positive and cross > 0
        else float("nan"),
    }


def mono_and_cross(
    matrix: Mapping[str, Mapping[str, float]],
) -> tuple[float, float]:
    """Mean over the diagonal and over the rest of matrix[query][subtitles].

    Subtitle columns that are no query language ("none") count nowhere; nan where there
    is no cell, as across a single language.
    """
    languages = list(matrix)
    cells = [(q, s, matrix[q][s]) for q in languages for s in languages]
    mono = [value for q, s, value in cells if q == s]
    cross = [value for q, s, value in cells if q != s]
    return _mean(mono), _mean(cross)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
