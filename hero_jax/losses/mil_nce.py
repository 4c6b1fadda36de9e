"""MIL-NCE: at least one of a video's queries must fit it (Miech et al. 2020).

    -log( sum_P e^(s/t) / (sum_P e^(s/t) + sum_N e^(s/t)) )   for each video

P are the video's queries in the batch; N its negative queries and, for each of P, the
negative videos: both directions share one denominator. Noisy subtitles suit it, of
which some are about what is seen.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from hero_jax.losses.both_ways import counted, log_sum
from hero_jax.losses.reduce import masked_mean
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class MilNCE:
    """One softmax a video, over its bag of queries and all that may be confused."""

    temperature: float = 0.07
    """Scores are divided by this. The original has none: inner products, not cosines.
    """
    counts_positives_twice: bool = False
    """As in the authors' code: P is in the denominator once for each direction."""

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
        """The loss and its only term, "bag"."""
        scores, negative = counted(scores, positives, allowed)
        logits = scores / self.temperature
        true = log_sum(logits.T, positives.T)
        queries = log_sum(logits.T, negative.T)
        videos = log_sum(logits, negative)
        of_bag = log_sum(jnp.broadcast_to(videos.T, positives.T.shape), positives.T)
        against = jnp.logaddexp(queries, of_bag)
        whole = jnp.logaddexp(true, against)
        if self.counts_positives_twice:
            whole = jnp.logaddexp(true, whole)
        bag = masked_mean((whole - true)[:, 0], jnp.any(positives, axis=0))
        return bag, {"bag": bag}
