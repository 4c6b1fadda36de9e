"""What enters the cross-modal tower: words and frames, each with its position."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.layers import Numerics, dense, layer_norm, table
from hero_jax.types import Array, Bool, Float, Int

OFFICIAL_PADDING = 1
"""RoBERTa's padding token; officially no gradient reaches its vector by look-up."""


class TextEmbedding(nn.Module):
    """Words with their positions within the segment, counted from 0 (H-5).

    The type is a constant: officially row 1 for words and frames alike (H-6).
    """

    vocab_size: int
    num_positions: int
    width: int
    numerics: Numerics

    def setup(self) -> None:
        self.word = table(self.vocab_size, self.width, self.numerics)
        self.position = table(self.num_positions, self.width, self.numerics)
        self.type = table(2, self.width, self.numerics)
        self.norm = layer_norm(self.numerics)

    def __call__(
        self, tokens: Int[Array, "R L"], position: Int[Array, "R L"]
    ) -> Float[Array, "R L D"]:
        words = self.words(tokens)
        position = within(position, self.num_positions)
        return self.norm(words + self.position(position) + self.constant_type())

    def words(self, tokens: Int[Array, "*N"]) -> Float[Array, "*N D"]:
        """The vectors of some words, as the table has them."""
        words = self.word(tokens)
        if not self.numerics.official:
            return words
        is_padding = (tokens == OFFICIAL_PADDING)[..., None]
        return jnp.where(is_padding, jax.lax.stop_gradient(words), words)

    def constant_type(self) -> Float[Array, "D"]:
        return self.type(jnp.ones((), jnp.int32))


class FrameEmbedding(nn.Module):
    """Frames with their positions within the segment.

    Projected once for each frame of a video, then placed into every row it is read in:
    the position differs there, so the norm comes after the placing.
    """

    feature_width: int
    num_positions: int
    width: int
    numerics: Numerics

    def setup(self) -> None:
        self.mask = MaskEmbedding(self.feature_width, self.numerics)
        self.feature_norm = layer_norm(self.numerics)
        self.projection = dense(self.width, self.numerics)
        self.position = table(self.num_positions, self.width, self.numerics)
        self.norm = layer_norm(self.numerics)

    def project(
        self,
        features: Float[Array, "B F E"],
        is_masked: Bool[Array, "B F"] | None = None,
    ) -> Float[Array, "B F D"]:
        if is_masked is not None:
            features = self.mask(features, is_masked)
        return self.projection(self.feature_norm(features))

    def __call__(
        self,
        projected: Float[Array, "R L D"],
        position: Int[Array, "R L"],
        constant_type: Float[Array, "D"],
    ) -> Float[Array, "R L D"]:
        position = within(position, self.num_positions)
        return self.norm(projected + self.position(position) + constant_type)


def within(position: Int[Array, "R L"], num_positions: int) -> Int[Array, "R L"]:
    """Positions beyond the table share its last row; looked up, they would be NaN.

    A segment split over several rows goes on counting in each (H-65).
    """
    return jnp.minimum(position, num_positions - 1)


class MaskEmbedding(nn.Module):
    """Tells masked frames from others; the row of the others never learns (H-10)."""

    feature_width: int
    numerics: Numerics

    @nn.compact
    def __call__(
        self, features: Float[Array, "B F E"], is_masked: Bool[Array, "B F"]
    ) -> Float[Array, "B F E"]:
        rows = table(2, self.feature_width, self.numerics, name="rows")(jnp.arange(2))
        unmasked = jax.lax.stop_gradient(rows[0])
        return features + jnp.where(is_masked[..., None], rows[1], unmasked)
