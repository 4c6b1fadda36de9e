"""Describing moments, or whole videos, in words (TVC, YC2C, VATEX-C; D.7).

A video is encoded once; each of its captions is written from the frames of its own
moment. The languages of subtitles and captions are drawn independently.

    video      f f f f f f f f f f f f f f
    moment 1       f f f f                    -> <s> Ann sits down    learns
    moment 2                 f f f f f f f        Ann sits down </s>
"""

import dataclasses
import functools
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import flax.struct
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from data_pipelines.readers.errors import wrong
from hero_jax.losses.cross_entropy import accuracy
from hero_jax.losses.label_smoothing import LabelSmoothing
from hero_jax.model.gather import gather
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import VideoBatch
from hero_jax.tasks import packing, shares
from hero_jax.tasks.base import Task
from hero_jax.tasks.caption_evaluation import CaptionMatrix
from hero_jax.tasks.captioner import Captioner, Writing, frames_of
from hero_jax.tasks.collate import collate_videos, rows_needed
from hero_jax.tasks.encoder import Encoder
from hero_jax.tasks.packing import Segment
from hero_jax.tasks.source import Examples, Source, VideoExample, video_segments
from hero_jax.types import Array, Float, Int, Metrics, PyTree, Scalar

IGNORED = -1


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class CaptionBatch:
    """Videos, and captions of moments in them."""

    videos: VideoBatch
    frame: Int[Array, "N F"]
    """Flat index b * F + f, within its group, of every frame of a caption's moment; -1
    behind its end."""
    tokens: Int[Array, "N T"]
    """`<s>` and the words."""
    language: Int[Array, "N"]
    slot: Int[Array, "M"]
    """Flat index n * T + t, within its group, of every word to be told; else 0."""
    label: Int[Array, "M"]
    """The word that comes next there, `</s>` the last; -1 where there is none."""


@dataclasses.dataclass(frozen=True, eq=False)
class CaptionText:
    """What one person wrote about a moment, tokenised in every language it has."""

    tokens: Mapping[int, np.ndarray]
    """Number of the language -> tokens."""
    span: tuple[int, int]
    """First frame of the moment and the one after its last."""


@dataclasses.dataclass(frozen=True, eq=False)
class CaptionedVideo:
    """One training example."""

    video: VideoExample
    captions: tuple[CaptionText, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedCaption:
    language: int
    tokens: np.ndarray
    span: tuple[int, int]


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedCaptions:
    video: VideoExample
    segments: tuple[Segment, ...]
    captions: tuple[PreparedCaption, ...]


class CaptionHead(nn.Module):
    """Logits of every word to be told; the decoder itself is a part of `Hero`."""

    @nn.compact
    def __call__(
        self, hero: Hero, batch: CaptionBatch, *, train: bool = False
    ) -> Float[Array, "M V"]:
        frames = hero.encode_videos(batch.videos, train=train)
        groups = batch.videos.num_groups
        memory = gather(frames, batch.frame, num_groups=groups)
        states = hero.caption_states(
            batch.tokens, memory, batch.frame >= 0, batch.language, train=train
        )
        slots = rearrange(states, "(g n) t d -> g (n t) d", g=groups)
        chosen = rearrange(batch.slot, "(g m) -> g m 1", g=groups)
        hidden = jnp.take_along_axis(slots, chosen, axis=1)
        return hero.word_logits(rearrange(hidden, "g m d -> (g m) d"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Captioning(Task):
    """Write what happens in a moment."""

    source: Source
    batch_size: int = 4
    """Videos with all their captions in a batch (TVC); or single captions."""
    objective: LabelSmoothing = LabelSmoothing()
    is_by_caption: bool = False
    """An example is one caption (YC2C, VATEX-C), not a video with all of its."""
    context: int = 1
    """Earlier subtitles read with each one (official sub_ctx_len)."""
    max_caption_tokens: int = 60
    """Longer captions are cut, or left out where an example is one caption (D.7)."""
    no_subtitles_rate: float = 0.0
    """Share of videos that training reads without any subtitle."""
    writing: Writing = Writing()
    """How captions are written when the task is evaluated."""
    is_segmented: bool = False
    """Videos are segments `<video>_<number>` (YC2C): score whole videos, too."""

    def examples(self, split: str) -> Sequence[CaptionedVideo]:
        """What there is to learn from in a split."""
        found = _captioned(self.source, split, self.max_caption_tokens)
        if not found:
            problem = f"split {split!r} has no captions"
            remedy = "name a dataset that has some"
            raise wrong(self.source.dataset, "", problem, remedy)
        if not self.is_by_caption:
            return found
        return [
            CaptionedVideo(one.video, (caption,))
            for one in found
            for caption in one.captions
            if all(len(t) <= self.max_caption_tokens for t in caption.tokens.values())
        ]

    def expected_cost(self, example: CaptionedVideo) -> float:
        """Slots of the segments, and of the captions."""
        line = lambda s: len(s.frames) + (1 + self.context) * len(s.tokens) + 1
        lines = example.video.lines.values()
        spoken = np.mean([sum(map(line, ones)) for ones in lines])
        words = [len(t) for c in example.captions for t in c.tokens.values()]
        return float(spoken + np.mean(words) * len(example.captions))

    def prepare(
        self, example: CaptionedVideo, rng: np.random.Generator, share: float
    ) -> PreparedCaptions:
        is_silent, share = shares.happens(share, self.no_subtitles_rate)
        spoken = shares.one_of(list(example.video.lines.values()), share)
        lines: Sequence[Segment] = () if is_silent else spoken
        lines = packing.with_context(lines, self.context)
        segments = video_segments(self.source, lines)
        captions = tuple(_in_one_language(c, rng) for c in example.captions)
        return PreparedCaptions(example.video, segments, captions)

    def cost(self, prepared: PreparedCaptions) -> int:
        words = sum(len(c.tokens) + 1 for c in prepared.captions)
        return sum(map(len, prepared.segments)) + words

    def collate(
        self,
        groups: Sequence[Sequence[PreparedCaptions]],
        capacity: Mapping[str, int],
        *,
        split: str,
        local: slice,
        rng: np.random.Generator,
    ) -> tuple[CaptionBatch, dict[str, int]]:
        examples = self.source.open(split)
        videos, plans = collate_videos(
            examples,
            [[(p.video, p.segments) for p in group] for group in groups],
            capacity,
            local=local,
        )
        needed = _sizes(groups, self.max_caption_tokens)
        sizes = {part: packing.fit(n, capacity, part) for part, n in needed.items()}
        tokenizer = self.source.load_tokenizer()
        fill_group = functools.partial(
            _caption_arrays,
            sizes=sizes,
            num_frames=examples.max_frames,
            longest=self.max_caption_tokens,
            special=(tokenizer.bos, tokenizer.eos, tokenizer.pad),
        )
        arrays = zip(*(fill_group(group) for group in groups))
        batch = CaptionBatch(videos, *(np.concatenate(parts) for parts in arrays))
        return batch, {"rows": rows_needed(plans)} | needed

    def fill(self, batch: CaptionBatch) -> float:
        return packing.fill(np.asarray(batch.videos.segment))

    def head(self) -> CaptionHead:
        return CaptionHead()

    def loss(
        self,
        predictions: Float[Array, "M V"],
        batch: CaptionBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        is_word = jnp.asarray(batch.label) != IGNORED
        loss = self.objective(predictions, batch.label, is_word)
        return loss, {"accuracy": accuracy(predictions, batch.label, is_word)}

    def evaluate(
        self,
        model: HeroConfig,
        params: PyTree,
        split: str,
        *,
        predictions_dir: Path | None = None,
    ) -> Mapping[str, Any]:
        """results[caption language][subtitle language], "none" last; {} where the split
        has nothing to describe. With a directory, what was written (E.6)."""
        encoder = Encoder(model, params["hero"], self.source, context=self.context)
        matrix = CaptionMatrix(
            Captioner(encoder, self.writing),
            self.source.open(split),
            is_segmented=self.is_segmented,
        )
        return matrix.results(predictions_dir)

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        names = ("is_by_caption", "context", "max_caption_tokens", "no_subtitles_rate")
        own = {name: getattr(self, name) for name in names}
        return self.source.fingerprint(split) | own


@functools.lru_cache(maxsize=16)
def _captioned(
    source: Source, split: str, max_tokens: int
) -> tuple[CaptionedVideo, ...]:
    """The videos that have captions, each with all of them."""
    examples = source.open(split)
    texts = _tokenise(examples)
    found: dict[str, list[CaptionText]] = {}
    by_name = {example.video.video_id: example for example in examples}
    for moment in examples.corpus.captions:
        example = by_name[moment.video_id]
        span = frames_of(moment, example, is_official=source.is_official)
        written = found.setdefault(moment.video_id, [])
        for caption in moment.captions:
            if tokens := texts[caption.caption_id, moment.moment_id]:
                written.append(CaptionText(tokens, span))
    return tuple(
        CaptionedVideo(example, tuple(found[name]))
        for name, example in by_name.items()
        if found.get(name)
    )


def _tokenise(examples: Examples) -> dict[tuple[str, str], dict[int, np.ndarray]]:
    """(caption, moment) -> number of a language -> tokens."""
    texts: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for number, language in enumerate(examples.languages):
        known = [
            (one.caption_id, moment.moment_id, one.texts[language])
            for moment in examples.corpus.captions
            for one in moment.captions
            if language in one.texts
        ]
        encoded = examples.tokenizer.encode([text for *_, text in known])
        for (caption, moment, _), tokens in zip(known, encoded):
            texts.setdefault((caption, moment), {})[number] = tokens
    return texts


def _in_one_language(caption: CaptionText, rng: np.random.Generator) -> PreparedCaption:
    known = list(caption.tokens)
    language = known[rng.integers(len(known))]
    return PreparedCaption(language, caption.tokens[language], caption.span)


def _sizes(
    groups: Sequence[Sequence[PreparedCaptions]], longest: int
) -> dict[str, int]:
    """What the fullest group, the longest caption and the longest moment take."""
    captions = [[c for p in group for c in p.captions] for group in groups]
    words = [[min(len(c.tokens) + 1, longest) for c in ones] for ones in captions]
    return {
        "captions": max(map(len, captions)),
        "words": max(map(max, words)),
        "labels": max(map(sum, words)),
        "moment": max(c.span[1] - c.span[0] for ones in captions for c in ones),
    }


def _caption_arrays(
    group: Sequence[PreparedCaptions],
    *,
    sizes: Mapping[str, int],
    num_frames: int,
    longest: int,
    special: tuple[int, int, int],
) -> tuple[np.ndarray, ...]:
    """Frames, tokens, languages, slots and labels of one group's captions."""
    bos, eos, pad = special
    count, length = sizes["captions"], sizes["words"]
    frame = np.full((count, sizes["moment"]), -1, np.int32)
    tokens = np.full((count, length), pad, np.int32)
    labels = np.full((count, length), IGNORED, np.int32)
    language = np.zeros(count, np.int32)
    captions = [(b, c) for b, p in enumerate(group) for c in p.captions]
    for n, (b, caption) in enumerate(captions):
        first, stop = caption.span
        frame[n, : stop - first] = b * num_frames + np.arange(first, stop)
        words = caption.tokens[:longest]
        given, told = [bos, *words][:longest], [*words, eos][:longest]
        tokens[n, : len(given)], labels[n, : len(told)] = given, told
        language[n] = caption.language
    slots = np.flatnonzero(labels != IGNORED)
    room = (0, sizes["labels"] - len(slots))
    return (
        frame,
        tokens,
        language,
        np.pad(slots, room).astype(np.int32),
        np.pad(labels.ravel()[slots], room, constant_values=IGNORED),
    )
