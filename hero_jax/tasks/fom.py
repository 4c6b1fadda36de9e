"""Frame order modelling: tell where shuffled frames belong (paper section 3.3, C.4).

frames          a b c d e f g       chosen b, d, g, and shuffled among themselves
shown           a g c b e f d
source          0 6 2 1 4 5 3       the frame that is shown at a place
is_shuffled     . x . x . . x       places whose frame is to be told
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np

from data_pipelines import official_pretraining
from hero_jax.losses.cross_entropy import accuracy, cross_entropy
from hero_jax.model.hero import Hero
from hero_jax.model.layout import VideoBatch
from hero_jax.tasks.collate import collate_videos, rows_needed
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.pretraining import (
    PretrainingTask,
    lines_in_one_language,
    official_draws,
)
from hero_jax.tasks.source import VideoExample, video_segments
from hero_jax.types import Array, Bool, Float, Int, Metrics, Scalar


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class FomBatch:
    videos: VideoBatch
    source: Int[Array, "B F"]
    """Which frame of the same video is shown at each place."""
    is_shuffled: Bool[Array, "B F"]
    """The places whose frame is to be told; it may be the one that belongs there."""


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedFom:
    example: VideoExample
    segments: tuple[Segment, ...]
    source: np.ndarray
    is_shuffled: np.ndarray


class FomHead(nn.Module):
    """Logits of the true place of the frame at every place.

    Frames meet their subtitles first and are moved then, before the temporal tower.
    """

    @nn.compact
    def __call__(
        self, hero: Hero, batch: FomBatch, *, train: bool = False
    ) -> Float[Array, "B F V"]:
        num_frames, limit = batch.source.shape[1], hero.config.max_ordered_frames
        if num_frames > limit:
            raise ValueError(
                f"frame order: videos of {num_frames} frames, but the model tells "
                f"{limit} places apart: lower Source.max_frames or raise "
                "HeroConfig.max_ordered_frames"
            )
        fused = hero.fuse(batch.videos, train=train)
        shown = jnp.take_along_axis(fused, batch.source[..., None], axis=1)
        frames = hero.contextualise(shown, batch.videos.frame_mask, train=train)
        return hero.frame_order(frames)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fom(PretrainingTask):
    """Tell the true places of frames that were shuffled among themselves."""

    shuffle_rate: float = 0.15
    """Share of frames that are shuffled."""

    def prepare(
        self, example: VideoExample, rng: np.random.Generator, share: float
    ) -> PreparedFom:
        lines = lines_in_one_language(example, share)
        num_frames = example.num_frames
        if self.draws_officially:
            _, targets = official_pretraining.shuffled_frames(
                num_frames, official_draws(rng), rate=self.shuffle_rate
            )
            is_shuffled = targets >= 0
            source = np.where(is_shuffled, targets, np.arange(num_frames))
        else:
            source, is_shuffled = shuffle_frames(
                num_frames, rng, rate=self.shuffle_rate
            )
        segments = video_segments(self.source, lines)
        return PreparedFom(example, segments, source, is_shuffled)

    def collate(
        self,
        groups: Sequence[Sequence[PreparedFom]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[FomBatch, dict[str, int]]:
        videos, plans = collate_videos(
            self.examples(split),
            [[(p.example, p.segments) for p in group] for group in groups],
            capacity,
            local=local,
        )
        B, F = videos.frame_mask.shape
        source = np.tile(np.arange(F, dtype=np.int32), (B, 1))
        is_shuffled = np.zeros((B, F), bool)
        for b, prepared in enumerate(p for group in groups for p in group):
            source[b, : len(prepared.source)] = prepared.source
            is_shuffled[b, : len(prepared.source)] = prepared.is_shuffled
        return FomBatch(videos, source, is_shuffled), {"rows": rows_needed(plans)}

    def head(self) -> FomHead:
        return FomHead()

    def loss(
        self,
        predictions: Float[Array, "B F V"],
        batch: FomBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        logits = predictions.reshape(-1, predictions.shape[-1])
        labels, mask = batch.source.ravel(), batch.is_shuffled.ravel()
        loss = cross_entropy(logits, labels, mask)
        return loss, {"accuracy": accuracy(logits, labels, mask)}

    def num_predictions(self, batch: FomBatch) -> int:
        return int(np.sum(batch.is_shuffled))

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        return super().fingerprint(split) | {"shuffle_rate": self.shuffle_rate}


def shuffle_frames(
    num_frames: int, rng: np.random.Generator, *, rate: float
) -> tuple[Int[np.ndarray, "F"], Bool[np.ndarray, "F"]]:
    """Which frame is shown at each place, and which places were chosen (C.4)."""
    is_shuffled = rng.random(num_frames) < rate
    source = np.arange(num_frames)
    source[is_shuffled] = rng.permutation(source[is_shuffled])
    return source, is_shuffled
