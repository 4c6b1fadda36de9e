"""What moment retrieval computes of a batch: scores of videos, boundaries of moments.

Every query is scored against every video of the global batch, and points into its own.
"""

import dataclasses
import typing

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from hero_jax.losses import Objective
from hero_jax.losses.inter_intra import InterIntra
from hero_jax.losses.siglip import SigLIP
from hero_jax.model import disorder, moment
from hero_jax.model.hero import Hero
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.types import Array, Bool, Float, Int

ORDERS = {"repeat": disorder.repeated, "shuffle": disorder.shuffled}
"""How IIC breaks the order of frames."""


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class MomentBatch:
    """Videos, and the queries about them."""

    videos: VideoBatch
    queries: TextBatch
    video: Int[Array, "B"]
    """Number of each video in its split: one that stands twice is no negative."""
    video_of: Int[Array, "Q"]
    """Position in the batch of the video each query is about."""
    text_id: Int[Array, "Q"]
    """Equal for queries of equal text, which are no negatives of one another."""
    span: Int[Array, "Q 2"]
    """First and last frame of the moment, inclusive; -1 where unknown."""
    span_is_used: Bool[Array, "Q"]
    """Drawn once a batch (C.5: the span loss is active on one batch in five)."""
    disorder: Float[Array, "B"]
    """In [0, 1): how the order of each video is broken where IIC asks for it."""


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class MomentPredictions:
    scores: Float[Array, "Q B"]
    """Cosine of every query with the best frame of every video."""
    start: Float[Array, "Q F"]
    """Logits over the frames of the query's own video."""
    end: Float[Array, "Q F"]
    log_scale: Float[Array, ""]
    """Logarithm of the inverse temperature; constant unless it is learned."""
    bias: Float[Array, ""] | None = None
    """Added to every logit, where an objective learns one."""
    intra_scores: Float[Array, "Q B"] | None = None
    """Of every query with every video in disorder, where an objective reads them."""
    frame_scores: Float[Array, "Q F"] | None = None
    """Cosine of every query with each frame of its own video, where a loss reads it."""
    teacher_scores: Float[Array, "N Q B"] | None = None
    """The scores of each teacher, where there are any."""


class MomentHead(nn.Module):
    """Scores every query against every video, and points into its own.

    Parameters that several objectives have begin alike, so that their runs do.
    """

    objective: Objective
    has_frame_scores: bool = False

    @nn.compact
    def __call__(
        self, hero: Hero, batch: MomentBatch, *, train: bool = False
    ) -> MomentPredictions:
        frames = hero.encode_videos(batch.videos, train=train)
        queries = hero.encode_queries(batch.queries, train=train)
        mask = batch.videos.frame_mask
        own = batch.video_of
        start, end = hero.span_logits(queries, frames[own], mask[own])
        temperature = getattr(self.objective, "temperature", 1.0)
        predictions = MomentPredictions(
            hero.video_scores(queries, frames, mask),
            start,
            end,
            self._number("log_scale", -np.log(temperature)),
        )
        if self.has_frame_scores:
            cosines = moment.frame_cosines(queries, frames[own])
            predictions = dataclasses.replace(predictions, frame_scores=cosines)
        if isinstance(self.objective, SigLIP):
            bias = self._number("bias", self.objective.bias)
            return dataclasses.replace(predictions, bias=bias)
        if isinstance(self.objective, InterIntra):
            broken = self._in_disorder(hero, batch, self.objective, train=train)
            scores = hero.video_scores(queries, broken, mask)
            return dataclasses.replace(predictions, intra_scores=scores)
        return predictions

    def _number(self, name: str, start: float) -> Float[Array, ""]:
        return self.param(name, nn.initializers.constant(start), (), jnp.float32)

    def _in_disorder(
        self, hero: Hero, batch: MomentBatch, objective: InterIntra, *, train: bool
    ) -> Float[Array, "B F D"]:
        """Frames of the same videos, their order broken as the objective asks."""
        mask = batch.videos.frame_mask
        if objective.disorder == "subtitle_swap":
            videos = disorder.with_swapped_subtitles(batch.videos, batch.disorder)
            broken = hero.encode_videos(videos, train=train)
        else:
            order = ORDERS[objective.disorder](mask, batch.disorder)
            fused = hero.fuse(batch.videos, train=train)
            frames = disorder.in_order(fused, order)
            broken = hero.contextualise(frames, mask, train=train)
        learns = objective.has_intra_gradient
        return broken if learns else jax.lax.stop_gradient(broken)


def vectors_of(predictions: MomentPredictions) -> dict[str, Array]:
    """What objectives read besides scores."""
    names = ("log_scale", "bias", "intra_scores", "teacher_scores")
    read = {name: getattr(predictions, name) for name in names}
    return {name: value for name, value in read.items() if value is not None}
