"""Videos read beside texts about them: what question answering and entailment share.

Each text (a question with one of its answers, a statement) is read by a copy of the
video of its own: it ends every segment, and stands behind the frames once more (D.4):

    rows     f f </s> subtitle </s> question </s> answer | f f f </s> subtitle ...
    tower    f f f f f f f | </s> question </s> answer

The frames of a video are stored and projected once for all its copies.
"""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import flax.struct
import numpy as np

from hero_jax.model.hero import Hero
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.tasks import packing
from hero_jax.tasks.collate import (
    frame_mask,
    reading_of,
    rows_needed,
    stack_features,
)
from hero_jax.tasks.packing import Plan, Segment
from hero_jax.tasks.source import NO_SPAN, Examples, Source, VideoExample
from hero_jax.types import Array, Bool, Float, Int

UNKNOWN, FALSE, TRUE = -1, 0, 1


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class BesideBatch:
    """Videos with the texts that their copies read; a copy is a row of each."""

    videos: VideoBatch
    texts: TextBatch
    truth: Int[Array, "N"]
    """Of every copy's text: 1 true, 0 false, -1 unknown."""
    span: Int[Array, "B 2"]
    """First and last frame of the moment each example is about; -1 where unknown."""


@dataclasses.dataclass(frozen=True, eq=False)
class Asked:
    """A video and the texts it shall judge; the same number for all of a task."""

    name: str
    video: VideoExample
    texts: Mapping[str, tuple[np.ndarray, ...]]
    """Per language the tokens of every text, each of its pieces behind a `</s>`."""
    num_tokens: int
    """Of the longest text, before any cut and without separators (B.9)."""
    truth: tuple[int, ...]
    span: tuple[int, int] = NO_SPAN


@dataclasses.dataclass(frozen=True, eq=False)
class Copy:
    """A video's segments with one text at the end of each, and that text alone."""

    text: np.ndarray
    segments: tuple[Segment, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedAsked:
    """An example in one language; without a video it is padding."""

    video: VideoExample | None
    copies: tuple[Copy, ...]
    truth: tuple[int, ...]
    span: tuple[int, int]


def pieces(source: Source, texts: Sequence[np.ndarray]) -> np.ndarray:
    """Texts one after the other, each behind its `</s>`, that fit a row (D.4-D.6).

    What does not fit is cut from the end of the first: the last tells one candidate
    from another.
    """
    separator = source.load_tokenizer().eos
    *others, last = texts
    last = last[: source.row_length - len(texts)]
    room = source.row_length - len(texts) - len(last)
    kept = [text[: max(0, room)] for text in others] + [last]
    behind = [np.concatenate([[separator], text]) for text in kept]
    return np.concatenate(behind).astype(np.int32)


def read_beside(
    source: Source, lines: Sequence[Segment], text: np.ndarray, *, context: int
) -> Copy:
    """A copy of a video; a line is read with up to `context` lines before it (B.4).

    A padding text has no copy, and lines over no frame are not read (H-19).
    """
    if not len(text):
        return Copy(text, ())
    segments = []
    for number, line in enumerate(lines):
        if len(line.frames) or source.reads_every_line:
            spoken = [
                one.tokens for one in lines[max(0, number - context) : number + 1]
            ]
            whole = Segment(np.concatenate([*spoken, text]), line.frames)
            segments += source.as_segments(whole, source.separator)
    return Copy(text, tuple(segments))


def padding(num_texts: int) -> PreparedAsked:
    """What fills a batch up."""
    nothing = Copy(np.zeros(0, np.int32), ())
    return PreparedAsked(None, (nothing,) * num_texts, (UNKNOWN,) * num_texts, NO_SPAN)


def collate_beside(
    examples: Examples,
    groups: Sequence[Sequence[PreparedAsked]],
    capacity: Mapping[str, int],
    *,
    local: slice = slice(None),
) -> tuple[BesideBatch, dict[str, int]]:
    """Prepared examples as one batch, and the sizes it took."""
    copies = [[copy for one in group for copy in one.copies] for group in groups]
    asked = [one for group in groups for one in group]
    videos, plans = _videos(examples, asked, copies, capacity, local)
    longest = max(len(copy.text) for group in copies for copy in group)
    texts = _texts(copies, packing.fit(longest, capacity, "text"), examples)
    batch = BesideBatch(
        videos,
        texts,
        np.array([truth for one in asked for truth in one.truth], np.int32),
        np.array([one.span for one in asked], np.int32),
    )
    return batch, {"rows": rows_needed(plans), "text": longest}


def _videos(
    examples: Examples,
    asked: Sequence[PreparedAsked],
    copies: Sequence[Sequence[Copy]],
    capacity: Mapping[str, int],
    local: slice,
) -> tuple[VideoBatch, list[Plan]]:
    """Rows of the copies, over frames that each example has once."""
    row_length = examples.source.row_length
    segments = [[copy.segments for copy in group] for group in copies]
    sizes = [[len(s) for copy in group for s in copy] for group in segments]
    plans = packing.plan_groups(sizes, row_length)
    videos = [one.video for one in asked]
    mask = frame_mask(videos, examples.max_frames)
    batch = packing.video_rows(
        segments,
        stack_features(examples, videos, local=local),
        np.repeat(mask, len(asked[0].copies), axis=0),
        plans,
        num_rows=packing.fit(rows_needed(plans), capacity, "rows"),
        row_length=row_length,
        pad=examples.tokenizer.pad,
        has_one_owner=examples.has_one_owner,
        **reading_of(examples),
    )
    return batch, plans


def _texts(
    groups: Sequence[Sequence[Copy]], length: int, examples: Examples
) -> TextBatch:
    """One text a row, in the order of the copies."""
    texts = [copy.text for group in groups for copy in group]
    tokens = np.full((len(texts), length), examples.tokenizer.pad, np.int32)
    for row, text in zip(tokens, texts):
        row[: len(text)] = text
    counts = np.array([len(text) for text in texts])
    places = np.arange(length, dtype=np.int32)
    return TextBatch(
        tokens,
        (places < counts[:, None]).astype(np.int32),
        np.tile(places, (len(texts), 1)),
        np.tile(np.arange(len(groups[0]), dtype=np.int32), len(groups)),
        (counts > 0).astype(np.int32),
        len(groups),
    )


def frames_beside(
    hero: Hero, batch: BesideBatch, *, train: bool = False
) -> tuple[Float[Array, "N F D"], Bool[Array, "N F"]]:
    """The frames of every copy, having read its text; and which of them are real."""
    return hero.read_beside(batch.videos, batch.texts, train=train)
