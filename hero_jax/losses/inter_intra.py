"""IIC for text and video: other videos, and its own video in disorder, are wrong.

    -log( e^(s(q,v)/t) / (e^(s(q,v)/t) + sum_j e^(s(q,v_j)/t) + sum_j e^(s(q,v'_j)/t)) )

v' is a video whose temporal order is broken (model/disorder.py). After Tao, Wang and
Yamasaki 2020, who contrast two views of a video and take v' from a memory bank; from
videos to queries this is `InfoNCE`, which is also its limit for v' of no score.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

from hero_jax.losses.both_ways import counted, log_sum, mean_of_pairs
from hero_jax.losses.info_nce import contrast
from hero_jax.losses.reduce import at_least_float32
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class InterIntra:
    """Reads `vectors["intra_scores"]` [Q B]: every query with every disordered video.

    Whoever makes those scores reads `disorder` and `has_intra_gradient`; without the
    gradient the disordered frames are constants and the queries still learn from them.
    """

    temperature: float = 0.07
    """Scores are divided by this."""
    intra_scope: Literal["own", "all"] = "own"
    """Against the own video in disorder, or also against the others'."""
    disorder: Literal["repeat", "shuffle", "subtitle_swap"] = "shuffle"
    """How the order is broken."""
    has_intra_gradient: bool = False
    """Whether the encoder learns through the disordered frames; the source's memory
    bank does not let it."""

    def __call__(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        allowed: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
        key: Key[Array, ""] | None = None,
        vectors: Mapping[str, Array] | None = None,
    ) -> tuple[Scalar, Metrics]:
        """The loss, "context", "query", and how far ahead of disorder the order is."""
        if vectors is None or "intra_scores" not in vectors:
            raise ValueError(
                'InterIntra: found no vectors["intra_scores"]: let the head score the '
                "videos in disorder"
            )
        scores, negative = counted(scores, positives, allowed)
        is_intra = positives | negative if self.intra_scope == "all" else positives
        intra = at_least_float32(vectors["intra_scores"])
        intra = jnp.where(is_intra, intra, 0)
        logits, broken = scores / self.temperature, intra / self.temperature
        against = jnp.logaddexp(log_sum(logits, negative), log_sum(broken, is_intra))
        context = mean_of_pairs(jax.nn.softplus(against - logits), positives)
        query = mean_of_pairs(contrast(logits.T, negative.T), positives.T)
        margin = mean_of_pairs(scores - intra, positives)
        terms = {"context": context, "query": query, "intra_margin": margin}
        return (context + query) / 2, terms
