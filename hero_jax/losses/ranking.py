"""HERO's ranking loss (paper 3.2, VSM): a query's own video must lead the other videos,
and no other query may come close to it there.

                  videos                      S[q, b]: score of query q with video b
               b0   b1   b2                   + own video     - may be a negative
          q0    +    -    -     context: q0's own score against the - of row q0
          q1    -    +    -     query:   q0's own score against the - of column b0
          q2    -    -    +

Each query's loss is a mean over its negatives, the result a mean over real queries.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class VSM:
    """Global alignment of video-subtitle matching; also the VCMR and VR ranking loss.

    The three hard-negative fields may be tuples of equal length, a schedule: of the
    entries whose start has come, the last applies (official lists).
    """

    margin: float = 0.1
    """Lead that a true pair must have under the hinge."""
    kind: Literal["hinge", "lse"] = "hinge"
    """max(0, margin + negative - positive), or log(1 + exp(negative - positive))."""
    context_weight: float = 8.0
    """Weight of the negative videos (official lw_neg_ctx)."""
    query_weight: float = 8.0
    """Weight of the negative queries (official lw_neg_q)."""
    hard_pool_size: int | tuple[int, ...] = 20
    """How many of the best-scored negatives are hard."""
    hard_weight: float | tuple[float, ...] = 10.0
    """Weight of a hard negative once hard negatives have started."""
    easy_weight: float = 0.1
    """Weight of every other negative once hard negatives have started."""
    hard_start_step: int | tuple[int | None, ...] | None = 20000
    """Step at which hard negatives start; None is never."""
    negatives: Literal["all", "sampled"] = "all"
    """Every negative, or one drawn from them (from the hard ones once started)."""
    reference_gpus: int = 1
    """Divides the loss, as the official gradient exchange on that many does (H-4)."""

    def __post_init__(self) -> None:
        fields = (self.hard_pool_size, self.hard_weight, self.hard_start_step)
        lengths = [len(_entries(field)) for field in fields]
        if len(set(lengths)) > 1:
            raise ValueError(
                "VSM: hard_pool_size, hard_weight and hard_start_step have "
                f"{lengths} entries: give all three the same number"
            )

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
        """The weighted loss, and its unweighted terms "context" and "query"."""
        losses = self.per_query(scores, positives, allowed, step=step, key=key)
        is_real = jnp.any(positives, axis=1)
        context, query = (masked_mean(loss, is_real) for loss in losses)
        total = self.context_weight * context + self.query_weight * query
        return total / self.reference_gpus, {"context": context, "query": query}

    def per_query(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        allowed: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
        key: Key[Array, ""] | None = None,
    ) -> tuple[Float[Array, "Q"], Float[Array, "Q"]]:
        """Context and query loss of each query, 0 for padding.

        The official evaluation sums these instead of averaging them.
        """
        negative = allowed & ~positives
        if self.negatives == "all":
            losses = self.against_all(scores, positives, negative, step=step)
        elif key is not None:
            ranks = self.draw_ranks(negative, step=step, key=key)
            losses = self.against_ranked(scores, positives, negative, *ranks)
        else:
            raise ValueError(
                'VSM: negatives="sampled" draws, but key is None: pass one'
            )
        context, query = (jnp.where(positives.any(axis=1), loss, 0) for loss in losses)
        return context, query

    def against_all(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        negative: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
    ) -> tuple[Float[Array, "Q"], Float[Array, "Q"]]:
        """Mean loss against every negative, the hard ones weighted more.

        A video's negative queries are the same for all its own queries: their hard
        ones are found once a video.
        """
        scores = at_least_float32(scores)
        own, true = own_video(scores, positives)
        by_video, is_rival = jnp.transpose(scores), jnp.transpose(negative)
        videos = self._hardest(scores, negative)
        queries = self._hardest(by_video, is_rival)[own]
        mean = lambda *rivals: self._weighted_mean(*rivals, true=true, step=step)
        return (
            mean(scores, negative, videos),
            mean(by_video[own], is_rival[own], queries),
        )

    def against_ranked(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        negative: Bool[Array, "Q B"],
        query_ranks: Int[Array, "Q"],
        video_ranks: Int[Array, "B"],
    ) -> tuple[Float[Array, "Q"], Float[Array, "Q"]]:
        """Loss against one negative each: the one of that rank by score.

        The negative query of a video is shared by all its own queries, as officially.
        """
        scores = at_least_float32(scores)
        own, true = own_video(scores, positives)
        video, has_video = of_rank(scores, negative, query_ranks)
        query, has_query = of_rank(scores.T, negative.T, video_ranks)
        return (
            self._summed(video[:, None], has_video[:, None], true),
            self._summed(query[own][:, None], has_query[own][:, None], true),
        )

    def draw_ranks(
        self,
        negative: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
        key: Key[Array, ""],
    ) -> tuple[Int[Array, "Q"], Int[Array, "B"]]:
        """Which negative to take, 0 the hardest: one for each query and each video."""
        pool, _, _ = self.hard_weights(step)

        def draw(key: Key[Array, ""], count: Int[Array, "N"]) -> Int[Array, "N"]:
            count = jnp.where(pool > 0, jnp.minimum(count, pool), count)
            return (jax.random.uniform(key, count.shape) * count).astype(int)

        query_key, video_key = jax.random.split(key)
        of_query = draw(query_key, jnp.sum(negative, axis=1))
        return of_query, draw(video_key, jnp.sum(negative, axis=0))

    def hard_weights(
        self, step: Int[Array, ""] | int
    ) -> tuple[Int[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Size of the hard pool, weight inside it, weight outside: 0, 1, 1 at first."""
        pool, hard, easy = jnp.asarray(0), jnp.asarray(1.0), jnp.asarray(1.0)
        for start, size, weight in self._schedule():
            has_started = jnp.asarray(step) >= start
            pool = jnp.where(has_started, size, pool)
            hard = jnp.where(has_started, weight, hard)
            easy = jnp.where(has_started, self.easy_weight, easy)
        return pool, hard, easy

    def _schedule(self) -> list[tuple[int, int, float]]:
        """(start, pool size, weight) of the entries that ever start."""
        fields = (self.hard_start_step, self.hard_pool_size, self.hard_weight)
        return [entry for entry in zip(*map(_entries, fields)) if entry[0] is not None]

    def _hardest(
        self, rivals: Float[Array, "N1 N2"], mask: Bool[Array, "N1 N2"]
    ) -> Float[Array, "N1 K"]:
        """The best-scored rivals of each row in descending order, -inf after the last.

        As many as the hard pool ever holds: only membership of the pool matters, so
        nothing is sorted beyond it.
        """
        size = max((size for _, size, _ in self._schedule()), default=0)
        rivals = jnp.where(mask, rivals, -jnp.inf)
        return jax.lax.top_k(rivals, min(size, rivals.shape[1]))[0]

    def _weighted_mean(
        self,
        rivals: Float[Array, "Q N"],
        mask: Bool[Array, "Q N"],
        hardest: Float[Array, "Q K"],
        *,
        true: Float[Array, "Q"],
        step: Int[Array, ""] | int,
    ) -> Float[Array, "Q"]:
        """The easy weight for every rival, and the rest of the hard weight for some.

        The divisor is the number of rivals, not the sum of weights, as officially.
        """
        pool, hard, easy = self.hard_weights(step)
        count = jnp.sum(mask, axis=1)
        is_hard = jnp.arange(hardest.shape[1]) < jnp.minimum(count, pool)[:, None]
        total = easy * self._summed(rivals, mask, true)
        total += (hard - easy) * self._summed(hardest, is_hard, true)
        return total / jnp.maximum(count, 1)

    def _summed(
        self,
        rivals: Float[Array, "Q N"],
        mask: Bool[Array, "Q N"],
        true: Float[Array, "Q"],
    ) -> Float[Array, "Q"]:
        """Sum of the pair losses where `mask` is true; elsewhere anything may stand."""
        lead = jnp.where(mask, rivals, 0) - true[:, None]
        hinge = lambda lead: jnp.maximum(self.margin + lead, 0)
        loss = hinge if self.kind == "hinge" else jax.nn.softplus
        return jnp.sum(jnp.where(mask, loss(lead), 0), axis=1)


def own_video(
    scores: Float[Array, "Q B"], positives: Bool[Array, "Q B"]
) -> tuple[Int[Array, "Q"], Float[Array, "Q"]]:
    """The column of each query's own video, and its score there; 0, 0 for padding.

    Where several columns are marked (the video twice in a batch, H-7) the best-scored
    of them stands for all.
    """
    own = jnp.argmax(jnp.where(positives, scores, -jnp.inf), axis=1)
    true = jnp.take_along_axis(scores, own[:, None], axis=1)[:, 0]
    is_real = jnp.any(positives, axis=1)
    return jnp.where(is_real, own, 0), jnp.where(is_real, true, 0)


def of_rank(
    values: Float[Array, "N1 N2"], mask: Bool[Array, "N1 N2"], ranks: Int[Array, "N1"]
) -> tuple[Float[Array, "N1"], Bool[Array, "N1"]]:
    """The value of that rank in each row, 0 the largest, among those in the mask.

    The second array says which rows hold that many.
    """
    descending = -jnp.sort(-jnp.where(mask, values, -jnp.inf), axis=1)
    chosen = jnp.take_along_axis(descending, ranks[:, None], axis=1)[:, 0]
    return chosen, ranks < jnp.sum(mask, axis=1)


def _entries(field: Any) -> tuple[Any, ...]:
    """A schedule as it is, a single value as a schedule of one."""
    return tuple(field) if isinstance(field, Iterable) else (field,)
