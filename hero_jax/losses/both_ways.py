"""An objective from what it does to rows: a query among videos, a video among queries.

     b0   b1   b2
q0    +    -    -     context: rows as they are      + true pair
q1    -    +    -     query:   rows of the transpose - may be a negative
q2    -    -    +     the objective is the mean of the two
"""

import abc
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar

NOTHING = -1e9
"""A logit that never counts; finite, so that an empty softmax has a gradient."""


Rows = Callable[[Array, Array, Array], Array]
"""(scores, positives, negative) [N1 N2] -> what each pair costs its row, [N1 N2]; only
the entries of true pairs are read."""


class BothWays(abc.ABC):
    """An objective that needs nothing besides the scores: a subclass says `cost`."""

    @abc.abstractmethod
    def cost(
        self,
        scores: Float[Array, "N1 N2"],
        positives: Bool[Array, "N1 N2"],
        negative: Bool[Array, "N1 N2"],
    ) -> Float[Array, "N1 N2"]:
        """What each pair costs its row; only the entries of true pairs are read."""

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
        """The loss and its terms: "context" which video, "query" which query."""
        return both_ways(self.cost, scores, positives, allowed)


def both_ways(
    cost: Rows,
    scores: Float[Array, "Q B"],
    positives: Bool[Array, "Q B"],
    allowed: Bool[Array, "Q B"],
) -> tuple[Scalar, Metrics]:
    """The mean of the two ways, and each way alone: "context" and "query"."""
    scores, negative = counted(scores, positives, allowed)
    context = mean_of_pairs(cost(scores, positives, negative), positives)
    of_videos = scores.T, positives.T, negative.T
    query = mean_of_pairs(cost(*of_videos), positives.T)
    return (context + query) / 2, {"context": context, "query": query}


def counted(
    scores: Float[Array, "Q B"],
    positives: Bool[Array, "Q B"],
    allowed: Bool[Array, "Q B"],
) -> tuple[Float[Array, "Q B"], Bool[Array, "Q B"]]:
    """The scores in float32, 0 where nothing counts, and which pairs are negatives.

    Padding may hold anything, and times a scale even its gradient would be nan.
    """
    negative = allowed & ~positives
    return jnp.where(positives | negative, at_least_float32(scores), 0), negative


def mean_of_pairs(
    losses: Float[Array, "N1 N2"], positives: Bool[Array, "N1 N2"]
) -> Scalar:
    """Mean over rows, in a row over its true pairs; a row without any is padding."""
    rows = masked_mean(losses, positives, axis=1)
    return masked_mean(rows, jnp.any(positives, axis=1))


def log_sum(
    logits: Float[Array, "N1 N2"], mask: Bool[Array, "N1 N2"]
) -> Float[Array, "N1 1"]:
    """log of the sum of e^logits over the mask; about `NOTHING` where it is empty."""
    kept = jnp.where(mask, logits, NOTHING)
    return jax.nn.logsumexp(kept, axis=1, keepdims=True)


def hardest(
    scores: Float[Array, "N1 N2"], negative: Bool[Array, "N1 N2"]
) -> Float[Array, "N1 1"]:
    """The best-scored negative of each row; `NOTHING` where there is none."""
    return jnp.max(jnp.where(negative, scores, NOTHING), axis=1, keepdims=True)
