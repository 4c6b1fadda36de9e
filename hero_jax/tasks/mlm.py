"""Masked language modelling beside the frames (paper section 3.3, C.2)."""

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
from hero_jax.losses.cross_entropy import accuracy, cross_entropy
from hero_jax.model.hero import Hero
from hero_jax.model.layout import VideoBatch
from hero_jax.tasks import packing
from hero_jax.tasks.collate import collate_videos, rows_needed
from hero_jax.tasks.packing import Plan, Segment
from hero_jax.tasks.pretraining import (
    PretrainingTask,
    lines_in_one_language,
    official_draws,
)
from hero_jax.tasks.source import Source, VideoExample
from hero_jax.types import Array, Float, Int, Metrics, Scalar

IGNORED = -1


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class MlmBatch:
    videos: VideoBatch
    slot: Int[Array, "M"]
    """Flat index r * L + l, within its group, of every masked token; else 0."""
    label: Int[Array, "M"]
    """The token that stood there; -1 where there is none."""


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedMlm:
    example: VideoExample
    segments: tuple[Segment, ...]
    labels: tuple[np.ndarray, ...]
    """Per segment, the original of every masked token and -1 elsewhere."""


class MlmHead(nn.Module):
    """Words at the masked slots, from the hidden states of the packed rows."""

    @nn.compact
    def __call__(
        self, hero: Hero, batch: MlmBatch, *, train: bool = False
    ) -> Float[Array, "M V"]:
        rows = hero.cross_modal_rows(batch.videos, train=train)
        groups = batch.videos.num_groups
        slots = rearrange(rows, "(g r) l d -> g (r l) d", g=groups)
        chosen = rearrange(batch.slot, "(g m) -> g m 1", g=groups)
        hidden = jnp.take_along_axis(slots, chosen, axis=1)
        return hero.word_logits(rearrange(hidden, "g m d -> (g m) d"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mlm(PretrainingTask):
    """Guess the hidden words of the subtitles of one language per video."""

    mask_rate: float = 0.15
    """Share of tokens selected (C.2)."""

    def prepare(
        self, example: VideoExample, rng: np.random.Generator, share: float
    ) -> PreparedMlm:
        first = self.source.load_tokenizer().bos
        every = lines_in_one_language(example, share)
        lines = [line for line in every if len(line.tokens)]  # the rest: H-22
        hidden = self._hidden([line.tokens for line in lines], rng)
        segments, labels = [], []
        for line, (tokens, label) in zip(lines, hidden, strict=True):
            pieces = self.source.as_segments(Segment(tokens, line.frames), first)
            segments += pieces
            label = np.concatenate([[IGNORED], label])  # `<s>` is never hidden
            labels += _like(label, pieces)
        return PreparedMlm(example, tuple(segments), tuple(labels))

    def collate(
        self,
        groups: Sequence[Sequence[PreparedMlm]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[MlmBatch, dict[str, int]]:
        examples = self.examples(split)
        videos, plans = collate_videos(
            examples,
            [[(p.example, p.segments) for p in group] for group in groups],
            capacity,
            local=local,
        )
        masked = [
            _masked_slots(group, plan, len(videos.tokens) // len(groups), self.source)
            for group, plan in zip(groups, plans)
        ]
        needed = max(len(slots) for slots, _ in masked)
        size = packing.fit(needed, capacity, "masked")
        pad = lambda values, empty: np.pad(
            values, (0, size - len(values)), constant_values=empty
        ).astype(np.int32)
        batch = MlmBatch(
            videos,
            np.concatenate([pad(slots, 0) for slots, _ in masked]),
            np.concatenate([pad(labels, IGNORED) for _, labels in masked]),
        )
        return batch, {"rows": rows_needed(plans), "masked": needed}

    def head(self) -> MlmHead:
        return MlmHead()

    def loss(
        self,
        predictions: Float[Array, "M V"],
        batch: MlmBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        is_masked = jnp.asarray(batch.label) != IGNORED
        loss = cross_entropy(predictions, batch.label, is_masked)
        return loss, {"accuracy": accuracy(predictions, batch.label, is_masked)}

    def num_predictions(self, batch: MlmBatch) -> int:
        return int(np.sum(batch.label != IGNORED))

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        return super().fingerprint(split) | {"mask_rate": self.mask_rate}

    def _hidden(
        self, texts: Sequence[np.ndarray], rng: np.random.Generator
    ) -> Sequence[tuple[np.ndarray, np.ndarray]]:
        """Every text with some tokens hidden, and its labels."""
        tokenizer = self.source.load_tokenizer()
        options: dict[str, Any] = {
            "rate": self.mask_rate,
            "mask_id": tokenizer.mask,
            "ordinary": tokenizer.ordinary,
        }
        if self.draws_officially:
            hide, draws = official_pretraining.hidden_tokens, official_draws(rng)
            return [hide(tokens, draws, **options) for tokens in texts]
        if not texts:
            return []
        starts = np.cumsum([0] + [len(tokens) for tokens in texts[:-1]])
        both = mask_tokens(np.concatenate(texts), starts, rng, **options)
        shown, labels = (np.split(whole, starts[1:]) for whole in both)
        return list(zip(shown, labels, strict=True))


def mask_tokens(
    tokens: np.ndarray,
    starts: Sequence[int] | np.ndarray,
    rng: np.random.Generator,
    *,
    rate: float,
    mask_id: int,
    ordinary: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens with some hidden, and their labels (C.2).

    One number u a token: hidden below `rate`; of those 80 % become the mask, 10 % a
    random ordinary token, 10 % stay. A text begins at each of `starts`; if none of its
    tokens was hidden, the first one is.
    """
    u = rng.random(len(tokens))
    starts = np.asarray(starts)
    u[starts[np.minimum.reduceat(u, starts) >= rate]] = 0.0
    is_hidden = u < rate
    labels = np.where(is_hidden, tokens, IGNORED)
    random_tokens = rng.integers(*ordinary, size=len(tokens))
    shown = np.where(u < 0.8 * rate, mask_id, random_tokens)
    shown = np.where(u < 0.9 * rate, shown, tokens)
    return np.where(is_hidden, shown, tokens).astype(np.int32), labels


def _like(label: np.ndarray, pieces: Sequence[Segment]) -> list[np.ndarray]:
    """Labels of a line shared out like its tokens."""
    if len(pieces) == 1:
        return [label]
    ends = np.cumsum([len(piece.tokens) for piece in pieces])
    return np.split(label, ends[:-1])


def _masked_slots(
    group: Sequence[PreparedMlm], plan: Plan, num_rows: int, source: Source
) -> tuple[np.ndarray, np.ndarray]:
    """Flat slots of one group's masked tokens, and their labels."""
    labels = packing.token_values(
        [p.segments for p in group],
        [p.labels for p in group],
        plan,
        num_rows=num_rows,
        row_length=source.row_length,
        empty=IGNORED,
    ).ravel()
    slots = np.flatnonzero(labels != IGNORED)
    return slots, labels[slots]
