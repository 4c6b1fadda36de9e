"""Masked frame modelling: tell the feature of a hidden frame (paper 3.3, C.3)."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from data_pipelines import official_pretraining
from hero_jax.losses.frame_nce import FrameNce
from hero_jax.losses.regression import FrameDistance
from hero_jax.model.gather import gather
from hero_jax.model.hero import Hero
from hero_jax.model.layout import VideoBatch
from hero_jax.tasks import packing
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
class MfmBatch:
    videos: VideoBatch
    """With all their features; the head hides those of masked frames."""
    is_masked: Bool[Array, "B F"]
    frame: Int[Array, "M"]
    """Flat index b * F + f, within its group, of each masked frame; -1 for none."""


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedMfm:
    example: VideoExample
    segments: tuple[Segment, ...]
    is_masked: np.ndarray


class MfmHead(nn.Module):
    """The feature that each frame vector stands for, masked or not."""

    @nn.compact
    def __call__(
        self, hero: Hero, batch: MfmBatch, *, train: bool = False
    ) -> Float[Array, "B F E"]:
        is_masked = jnp.asarray(batch.is_masked)
        features = jnp.where(is_masked[..., None], 0, batch.videos.features)
        videos = dataclasses.replace(batch.videos, features=features)
        frames = hero.encode_videos(videos, frame_is_masked=is_masked, train=train)
        return hero.frame_features(frames)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mfm(PretrainingTask):
    """Tell the features of hidden frames from the other frames and the subtitles."""

    objective: FrameNce | FrameDistance = FrameNce()
    """Pick the true feature among others, or come near it (official mfm-nce, mffr)."""
    mask_rate: float = 0.15
    """Share of frames selected; at least one a video."""
    has_padding_negatives: bool = False
    """Predictions beyond a video's end are negatives, too, as officially (H-8)."""

    def prepare(
        self, example: VideoExample, rng: np.random.Generator, share: float
    ) -> PreparedMfm:
        lines = lines_in_one_language(example, share)
        if self.draws_officially:
            is_masked = official_pretraining.masked_frames(
                example.num_frames, official_draws(rng), rate=self.mask_rate
            )
        else:
            is_masked = mask_frames(example.num_frames, rng, rate=self.mask_rate)
        return PreparedMfm(example, video_segments(self.source, lines), is_masked)

    def collate(
        self,
        groups: Sequence[Sequence[PreparedMfm]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[MfmBatch, dict[str, int]]:
        videos, plans = collate_videos(
            self.examples(split),
            [[(p.example, p.segments) for p in group] for group in groups],
            capacity,
            local=local,
        )
        is_masked = np.zeros(videos.frame_mask.shape, bool)
        for row, prepared in zip(is_masked, (p for group in groups for p in group)):
            row[: len(prepared.is_masked)] = prepared.is_masked
        places = [np.flatnonzero(part) for part in np.split(is_masked, len(groups))]
        needed = max(map(len, places))
        size = packing.fit(needed, capacity, "masked")
        frame = np.full((len(groups), size), -1, np.int32)
        for row, place in zip(frame, places):
            row[: len(place)] = place
        batch = MfmBatch(videos, is_masked, frame.ravel())
        return batch, {"rows": rows_needed(plans), "masked": needed}

    def head(self) -> MfmHead:
        return MfmHead()

    def loss(
        self,
        predictions: Float[Array, "B F E"],
        batch: MfmBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        groups = batch.videos.num_groups
        masked = lambda x: gather(jnp.asarray(x), batch.frame, num_groups=groups)
        in_groups = lambda x: rearrange(x, "(g m) ... -> g m ...", g=groups)
        return self.objective(
            in_groups(masked(predictions)),
            in_groups(masked(batch.videos.features)),
            in_groups(batch.frame >= 0),
            rearrange(predictions, "(g b) f e -> g (b f) e", g=groups),
            rearrange(self._negatives(batch), "(g b) f -> g (b f)", g=groups),
        )

    def num_predictions(self, batch: MfmBatch) -> int:
        return int(np.sum(batch.is_masked))

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        return super().fingerprint(split) | {"mask_rate": self.mask_rate}

    def _negatives(self, batch: MfmBatch) -> Bool[Array, "B F"]:
        is_shown = ~jnp.asarray(batch.is_masked)
        return (
            is_shown
            if self.has_padding_negatives
            else (is_shown & batch.videos.frame_mask)
        )


def mask_frames(
    num_frames: int, rng: np.random.Generator, *, rate: float
) -> Bool[np.ndarray, "F"]:
    """Which frames are hidden: each by chance, and one at least (C.3)."""
    is_masked = rng.random(num_frames) < rate
    if not is_masked.any():
        is_masked[rng.integers(num_frames)] = True
    return is_masked
