"""Where a query is: how well each video fits it, and the span within (A.6)."""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.layers import Numerics, dense, head_init
from hero_jax.types import Array, Bool, Float, Int

NORM_FLOOR = 1e-5
"""Vectors shorter than this are divided by it: zeros stay zeros (B.5)."""
NO_SCORE = -1e4
"""The cosine of a frame that does not exist."""
NO_LOGIT = -1e9
"""Its logit in a sum of exponentials."""
MAX_DENSE_SCORES = 2**24
"""Query-frame scores held at once; more are reduced a few frames at a time."""


def normalise(x: Float[Array, "*N D"]) -> Float[Array, "*N D"]:
    """x / max(|x|, floor); the floor is inside the root, where 0 has a gradient."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.maximum(square, NORM_FLOOR**2))


@dataclasses.dataclass(frozen=True)
class FrameScore:
    """How the cosines of a query with a video's frames become one score, in -1..1."""

    kind: Literal["max", "mean", "log_sum_exp"] = "max"
    """The best frame, as in HERO; all frames alike; or something between the two,
    log(mean of e^(sharpness cosine)) / sharpness."""
    sharpness: float = 10.0
    """Of "log_sum_exp": towards 0 it is the mean, large it is the best frame."""

    def __call__(
        self, cosines: Float[Array, "*N F"], frame_mask: Bool[Array, "*N F"]
    ) -> Float[Array, "*N"]:
        """The score of each row of cosines."""
        total = self.total(cosines, frame_mask)
        return self.finished(total, jnp.sum(frame_mask, axis=-1))

    def of_none(self) -> float:
        """The `total` of no frame."""
        return {"max": NO_SCORE, "mean": 0.0, "log_sum_exp": NO_LOGIT}[self.kind]

    def total(
        self, cosines: Float[Array, "*N F"], frame_mask: Bool[Array, "*N F"]
    ) -> Float[Array, "*N"]:
        """What `joined` joins and `finished` makes a score of."""
        if self.kind == "log_sum_exp":
            logits = jnp.where(frame_mask, self.sharpness * cosines, NO_LOGIT)
            return jax.nn.logsumexp(logits, axis=-1)
        cosines = jnp.where(frame_mask, cosines, self.of_none())
        best = self.kind == "max"
        return jnp.max(cosines, axis=-1) if best else jnp.sum(cosines, axis=-1)

    def joined(
        self, one: Float[Array, "*N"], other: Float[Array, "*N"]
    ) -> Float[Array, "*N"]:
        """The total of two sets of frames."""
        join = {"max": jnp.maximum, "mean": jnp.add, "log_sum_exp": jnp.logaddexp}
        return join[self.kind](one, other)

    def finished(
        self, total: Float[Array, "*N"], num_frames: Int[Array, "..."]
    ) -> Float[Array, "*N"]:
        """The score; one of no frame is below every cosine."""
        if self.kind == "max":
            return total
        count = jnp.maximum(num_frames, 1).astype(total.dtype)
        if self.kind == "mean":
            score = total / count
        else:
            score = (total - jnp.log(count)) / self.sharpness
        return jnp.where(num_frames > 0, score, NO_SCORE)


def video_scores(
    queries: Float[Array, "Q D"],
    frames: Float[Array, "B F D"],
    frame_mask: Bool[Array, "B F"],
    score: FrameScore = FrameScore(),
) -> Float[Array, "Q B"]:
    """Cosines of each query with the frames of each video, as one score."""
    wide = jnp.promote_types(queries.dtype, jnp.float32)
    queries = normalise(queries.astype(wide))
    frames = normalise(frames.astype(wide))
    num_frames = frames.shape[1]
    fit = max(1, MAX_DENSE_SCORES // (len(queries) * len(frames)))
    if num_frames <= fit:
        total = _total(queries, frames, frame_mask, score)
    else:
        total = _total_blockwise(queries, frames, frame_mask, score, block=fit)
    return score.finished(total, jnp.sum(frame_mask, axis=1))


def _total(
    queries: Float[Array, "Q D"],
    frames: Float[Array, "B F D"],
    frame_mask: Bool[Array, "B F"],
    score: FrameScore,
) -> Float[Array, "Q B"]:
    cosines = jnp.einsum("qd,bfd->qbf", queries, frames)
    return score.total(cosines, jnp.broadcast_to(frame_mask, cosines.shape))


def _total_blockwise(
    queries: Float[Array, "Q D"],
    frames: Float[Array, "B F D"],
    frame_mask: Bool[Array, "B F"],
    score: FrameScore,
    *,
    block: int,
) -> Float[Array, "Q B"]:
    """A running total over blocks of frames; no [Q B F] exists, nor is it kept.

    Frames are the axis that no mesh splits: every device works on each block.
    """
    padding = -frames.shape[1] % block
    frames = jnp.pad(frames, ((0, 0), (0, padding), (0, 0)))
    frame_mask = jnp.pad(frame_mask, ((0, 0), (0, padding)))
    in_blocks = lambda x: jnp.moveaxis(x.reshape(len(x), -1, block, *x.shape[2:]), 1, 0)

    @jax.checkpoint
    def more(total, block):
        return score.joined(total, _total(queries, *block, score)), None

    shape = (len(queries), len(frames))
    start = jnp.full(shape, score.of_none(), frames.dtype)
    return jax.lax.scan(more, start, (in_blocks(frames), in_blocks(frame_mask)))[0]


def frame_cosines(
    queries: Float[Array, "Q D"], frames: Float[Array, "Q F D"]
) -> Float[Array, "Q F"]:
    """Cosine of query q with each frame of video q."""
    wide = jnp.promote_types(queries.dtype, jnp.float32)
    queries, frames = (normalise(x.astype(wide)) for x in (queries, frames))
    return jnp.einsum("qd,qfd->qf", queries, frames)


def boundary_logits(
    similarity: Float[Array, "*N F"],
    frame_mask: Bool[Array, "*N F"],
    weights: Float[Array, "N1"],
    numerics: Numerics,
) -> Float[Array, "*N F"]:
    """Each frame's similarity with those around it, weighed by a short filter.

    The official code lets the frames after the end of a video take part (H-12); here
    there is nothing beyond the end.
    """
    if not numerics.official:
        similarity = jnp.where(frame_mask, similarity, 0)
    num_frames, reach = similarity.shape[-1], len(weights) // 2
    edge = jnp.zeros((*similarity.shape[:-1], reach), similarity.dtype)
    around = jnp.concatenate([edge, similarity, edge], axis=-1)
    logits = sum(
        weights[k] * around[..., k : k + num_frames] for k in range(len(weights))
    )
    return jnp.where(frame_mask, logits, -1e4 if numerics.official else -1e9)


class SpanPredictor(nn.Module):
    """Start and end of what a query is about, in any video it is shown."""

    width: int
    numerics: Numerics

    def setup(self) -> None:
        self.projection = dense(self.width, self.numerics, head_init(self.width))
        self.start = BoundaryFilter(self.numerics)
        self.end = BoundaryFilter(self.numerics)

    def __call__(
        self,
        queries: Float[Array, "Q D"],
        frames: Float[Array, "Q F D"],
        frame_mask: Bool[Array, "Q F"],
    ) -> tuple[Float[Array, "Q F"], Float[Array, "Q F"]]:
        """Logits of the first and the last frame: query q in video q."""
        similarity = self._similarity("qd,qfd->qf", queries, frames)
        return self.start(similarity, frame_mask), self.end(similarity, frame_mask)

    def everywhere(
        self,
        queries: Float[Array, "Q D"],
        frames: Float[Array, "B F D"],
        frame_mask: Bool[Array, "B F"],
    ) -> tuple[Float[Array, "Q B F"], Float[Array, "Q B F"]]:
        """The same for every query in every video."""
        similarity = self._similarity("qd,bfd->qbf", queries, frames)
        mask = jnp.broadcast_to(frame_mask, similarity.shape)
        return self.start(similarity, mask), self.end(similarity, mask)

    def _similarity(self, axes: str, queries: Array, frames: Array) -> Array:
        wide = self.numerics.wide
        queries = self.projection(queries)
        return jnp.einsum(axes, queries, frames, preferred_element_type=wide)


class BoundaryFilter(nn.Module):
    """The five weights of one boundary."""

    numerics: Numerics
    size: int = 5

    @nn.compact
    def __call__(
        self, similarity: Float[Array, "*N F"], frame_mask: Bool[Array, "*N F"]
    ) -> Float[Array, "*N F"]:
        init = head_init(self.size).kernel
        weights = self.param("filter", init, (self.size,), jnp.float32)
        weights = weights.astype(self.numerics.wide)
        return boundary_logits(similarity, frame_mask, weights, self.numerics)
