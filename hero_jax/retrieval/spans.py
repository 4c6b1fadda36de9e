"""Which moments of the best videos fit a query: pairs of a first and a last frame.

last n  0 1 2 3 4 5        min_frames 2, max_frames 4: only the pairs with
first 0 . . x x . .        2 <= n - m < 4, so the band is all that is computed
      1 . . . x x .
      2 . . . . x x        score(m, n) = p_start(m) * video score * p_end(n)
      3 . . . . . x
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.types import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class SpanRules:
    """How spans are chosen and scored (F.1, F.3). OFFICIAL_RULES are the paper's."""

    min_frames: int = 1
    """Least n - m of a span. Officially 2, which 15 % of true spans undercut (H-20)."""
    max_frames: int = 40
    """n - m stays below this. Officially 16, which 8 % of true spans exceed (H-20)."""
    alpha: float = 20.0
    """A video's cosine c counts as exp(alpha * c)."""
    max_videos: int = 100
    """Videos whose spans are looked at."""
    max_before_nms: int = 200
    """Spans kept of a query before overlapping ones are removed."""
    max_after_nms: int = 100
    """Spans kept in the end."""
    nms_threshold: float | None = None
    """IoU above which the worse of two spans of a video is removed; TVR uses 0.5."""
    truncates_before_nms: bool = False
    """Cut to `max_after_nms` first, as the official code does by mistake (H-2)."""
    legacy_unravel: int | None = None
    """Decode places as if every video had so many frames (H-1), as published."""


OFFICIAL_RULES = SpanRules(min_frames=2, max_frames=16, truncates_before_nms=True)


class Spans(NamedTuple):
    """The N best spans of each query, best first; axis K of the candidates is gone."""

    candidate: Int[Array, "Q N"]
    """Which of the query's K candidate videos the span is in."""
    first: Int[Array, "Q N"]
    last: Int[Array, "Q N"]
    score: Float[Array, "Q N"]
    span_mask: Bool[Array, "Q N"]
    """False once a query has no further valid span."""


def exponential_weights(
    cosines: Float[Array, "Q K"], alpha: float
) -> Float[Array, "Q K"]:
    """What a video's cosine contributes to the score of its spans."""
    return jnp.exp(alpha * cosines)


@functools.partial(jax.jit, static_argnames="rules")
def best_spans(
    start_probs: Float[Array, "Q K F"],
    end_probs: Float[Array, "Q K F"],
    video_weights: Float[Array, "Q K"],
    num_frames: Int[Array, "Q K"],
    rules: SpanRules,
) -> Spans:
    """The best spans over all K candidates of each query.

    For a moment in a given video (SVMR) K is 1 and the weight is 1. Of equal scores the
    earlier candidate, then the earlier first frame, then the shorter span comes first.
    """
    scores = band_scores(start_probs, end_probs, video_weights, num_frames, rules)
    num_queries, _, longest, width = scores.shape
    flat = scores.reshape(num_queries, -1)
    score, place = jax.lax.top_k(flat, min(rules.max_before_nms, flat.shape[1]))
    candidate, rest = jnp.divmod(place, longest * width)
    first, offset = jnp.divmod(rest, width)
    last = first + offset + rules.min_frames
    if rules.legacy_unravel is None:
        return Spans(candidate, first, last, score, score >= 0)
    place = (candidate * longest + first) * longest + last
    return Spans(*legacy_place(place, rules.legacy_unravel), score, score >= 0)


def band_scores(
    start_probs: Float[Array, "Q K F"],
    end_probs: Float[Array, "Q K F"],
    video_weights: Float[Array, "Q K"],
    num_frames: Int[Array, "Q K"],
    rules: SpanRules,
) -> Float[Array, "Q K F N"]:
    """[q, k, m, j]: score of span (m, m + min_frames + j); -1 where there is none."""
    longest = start_probs.shape[-1]
    widest = max(min(rules.max_frames, longest), rules.min_frames + 1)
    last = jnp.arange(longest)[:, None] + jnp.arange(rules.min_frames, widest)
    ends = jnp.take(end_probs, jnp.minimum(last, longest - 1), axis=-1)
    starts = start_probs * video_weights[..., None]  # in the official order
    is_span = last < num_frames[..., None, None]
    return jnp.where(is_span, starts[..., None] * ends, -1)


def legacy_place(
    place: Int[Array, "Q N"], max_frames: int
) -> tuple[Int[Array, "Q N"], Int[Array, "Q N"], Int[Array, "Q N"]]:
    """The official decoding of a place in [video, m, n], as if the last two axes had
    `max_frames` entries whatever they really have: wrong spans, and wrong videos (H-1).
    """
    candidate, rest = jnp.divmod(place, max_frames**2)
    return candidate, *jnp.divmod(rest, max_frames)


def moments(
    spans: Spans,
    candidates: Int[Array, "Q K"],
    intervals: Float[Array, "N"],
) -> list[Float[np.ndarray, "N1 4"]]:
    """For each query its rows (video, start, end, score); times in seconds.

    `candidates` are the videos' positions in the corpus, `intervals` those of the
    corpus. A span ends with its last frame: (n + 1) * interval.
    """
    candidate, first, last, score, mask = map(np.asarray, spans)
    videos = np.take_along_axis(np.asarray(candidates), candidate, axis=1)
    interval = np.asarray(intervals, np.float64)[videos]
    columns = (videos, first * interval, (last + 1) * interval, score)
    rows = np.stack([np.asarray(c, np.float64) for c in columns], axis=-1)
    return [row[is_span] for row, is_span in zip(rows, mask)]
