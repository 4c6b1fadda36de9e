"""VALUE's other ways to join subtitles and frames (A.9): one vector for each subtitle.

The cross-modal tower reads the words alone, and the greatest value that any of them has
in a dimension is the subtitle's. Then

    add        frame + subtitle it belongs to            -> temporal tower
    concat     frame ++ subtitle it belongs to, narrowed -> temporal tower
    sequence   f f f f f f . | s s s .   frames, then subtitles, in the temporal tower

No output of these models has been recorded: they are built from their description.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.embeddings import FrameEmbedding, within
from hero_jax.model.layers import Numerics, Projection, layer_norm, table
from hero_jax.model.layout import VideoBatch
from hero_jax.types import Array, Bool, Float, Int

Fusion = Literal["local", "add", "concat", "sequence"]
FIRST_POSITION = 2
"""Of words and of subtitles here: RoBERTa's rule, unlike everywhere else (H-5)."""
OFFICIAL_PADDING = 1
"""The padding token, and its position."""


class FeatureFusion(nn.Module):
    """Frames with the vectors of their subtitles: their sum, or both made one."""

    width: int
    dropout: float
    numerics: Numerics
    is_joined: bool

    def setup(self) -> None:
        project = lambda: Projection(self.width, self.dropout, self.numerics)
        self.subtitles = project()
        if self.is_joined:
            self.joined = project()

    def __call__(
        self,
        frames: Float[Array, "B F D"],
        subtitles: Float[Array, "B F D"],
        *,
        train: bool,
    ) -> Float[Array, "B F D"]:
        """A frame without a subtitle has zeros in its place, which are projected."""
        spoken = self.subtitles(subtitles, train=train)
        if not self.is_joined:
            return frames + spoken
        return self.joined(jnp.concatenate([frames, spoken], axis=-1), train=train)


class SequenceEmbedding(nn.Module):
    """Frames and subtitles, each with their own positions, as one sequence."""

    feature_width: int
    num_frames: int
    num_positions: int
    width: int
    numerics: Numerics

    def setup(self) -> None:
        self.frames = FrameEmbedding(
            self.feature_width, self.num_frames, self.width, self.numerics
        )
        self.position = table(self.num_positions, self.width, self.numerics)
        self.type = table(2, self.width, self.numerics)
        self.norm = layer_norm(self.numerics)

    def __call__(
        self, features: Float[Array, "B1 F E"], subtitles: Float[Array, "B2 N D"]
    ) -> tuple[Float[Array, "B1 F D"], Float[Array, "B2 N D"]]:
        kind = self.type(jnp.ones((), jnp.int32))
        places = jnp.broadcast_to(jnp.arange(features.shape[1]), features.shape[:2])
        frames = self.frames(self.frames.project(features), places, kind)
        places = FIRST_POSITION + jnp.arange(subtitles.shape[1])[None]
        positions = self.position(within(places, self.num_positions))
        return frames, self.norm(subtitles + positions + kind)


def words_of(videos: VideoBatch) -> Bool[Array, "R L"]:
    """Which slots hold a word of a subtitle."""
    return jnp.asarray((videos.segment > 0) & (videos.frame < 0))


def text_slots(
    videos: VideoBatch, *, has_padding: bool
) -> tuple[Int[Array, "R L"], Int[Array, "R L"], Int[Array, "R L"]]:
    """Tokens, positions and segments of the rows with nothing where frames stand.

    `has_padding` adds a slot of padding to every row, for `greatest`.
    """
    is_word = words_of(videos)
    tokens = jnp.where(is_word, videos.tokens, 0)
    position = jnp.where(is_word, FIRST_POSITION + videos.position, 0)
    segment = jnp.where(is_word, videos.segment, 0)
    if not has_padding:
        return tokens, position, segment
    behind = lambda x, value: jnp.pad(x, ((0, 0), (0, 1)), constant_values=value)
    return (
        behind(tokens, OFFICIAL_PADDING),
        behind(position, OFFICIAL_PADDING),
        behind(segment, 0),
    )


def greatest(
    hidden: Float[Array, "R L1 D"], videos: VideoBatch
) -> Float[Array, "R L D"]:
    """At every slot the greatest values among the words of its segment.

    Zeros for a segment without words. A slot more than the rows have is one of padding:
    officially it counts wherever a subtitle is shorter than the longest one (H-53).
    """
    length = videos.segment.shape[1]
    is_word = words_of(videos)
    values = jnp.where(is_word[..., None], hidden[:, :length], _least(hidden))
    found = segment_max(values, jnp.asarray(videos.segment))
    if hidden.shape[1] > length:
        counts = is_word.sum(axis=1, keepdims=True)[..., None]
        padded = jnp.maximum(found, hidden[:, length:])
        found = jnp.where(counts < counts.max(), padded, found)
    return jnp.where(found > _least(hidden), found, 0)


def first_word(
    rows: Float[Array, "R L D"], videos: VideoBatch
) -> Float[Array, "R L D"]:
    """At the frame slots of a segment its first word, which follows them (B.8).

    f f <s> w w | f <s> w      ->      1 1 . . . | 2 . .    the slot of <s> is read
    """
    is_word, length = words_of(videos), videos.segment.shape[1]
    places = jnp.where(is_word, jnp.arange(length), length - 1)
    next_word = jax.lax.cummin(places, axis=1, reverse=True)
    found = jnp.take_along_axis(rows, next_word[..., None], axis=1)
    segment = jnp.asarray(videos.segment)
    is_own = jnp.take_along_axis(jnp.where(is_word, segment, 0), next_word, 1)
    return jnp.where((is_own == segment)[..., None], found, 0)


def segment_max(
    values: Float[Array, "R L D"], segment: Int[Array, "R L"]
) -> Float[Array, "R L D"]:
    """The greatest value of each slot's segment, in each dimension, at the slot."""
    length, width = values.shape[1:]
    nothing = jnp.full((length + 1, width), _least(values), values.dtype)
    one_row = lambda x, numbers: nothing.at[numbers].max(x)[numbers]
    return jax.vmap(one_row)(values, segment)


def _least(values: Float[Array, "*N"]) -> Float[Array, ""]:
    return jnp.asarray(jnp.finfo(values.dtype).min, values.dtype)
