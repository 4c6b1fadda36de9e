"""From the words of a query to one vector (A.6, QueryFeatEncoder)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.dropout import Dropout
from hero_jax.model.gather import gather
from hero_jax.model.layers import (
    Numerics,
    PositionEmbedding,
    Projection,
    dense,
    head_init,
)
from hero_jax.model.layout import TextBatch
from hero_jax.model.transformer import Attention, attention_bias
from hero_jax.types import Array, Float, Int


def mean_of_words(
    words: Float[Array, "R L D"], texts: TextBatch
) -> Float[Array, "Q D"]:
    """Mean vector of each text without its first token, which is no word.

    A first token that every text has would make the means of any two alike
    (crosslingual.md, 1.1). Zeros where there is no text, or no word in it.
    """
    numbers = jnp.arange(1, texts.segment.shape[1] + 1)
    is_own = texts.segment[:, None, :] == numbers[None, :, None]
    is_own &= (texts.position > 0)[:, None, :]
    sums = jnp.einsum("rsl,rld->rsd", is_own.astype(words.dtype), words)
    count = jnp.maximum(jnp.sum(is_own, axis=-1, keepdims=True), 1)
    return of_texts(sums / count.astype(sums.dtype), texts)


def of_texts(
    by_segment: Float[Array, "R L D"], texts: TextBatch
) -> Float[Array, "Q D"]:
    """The vector of each text from those of the segments, s at place s - 1 of its row.

    Zeros where there is no text: absent ones have segment 0.
    """
    place = texts.row * by_segment.shape[1] + texts.segment_of - 1
    place = jnp.where(texts.mask, place, -1)
    return gather(by_segment, place, num_groups=texts.num_groups)


class QueryEncoder(nn.Module):
    """Words meet once more, then are summed, each by its learned importance."""

    width: int
    num_heads: int
    num_positions: int
    dropout: float
    numerics: Numerics

    def setup(self) -> None:
        init, numerics = head_init(self.width), self.numerics
        self.projection = Projection(self.width, self.dropout, numerics, init)
        # Drawn from N(0, 1), unlike every other table (H-11).
        self.position = PositionEmbedding(
            self.num_positions, numerics, nn.initializers.normal(1.0)
        )
        self.position_dropout = Dropout(self.dropout, numerics.dropout_kind)
        self.attention = Attention(self.num_heads, self.dropout, numerics, init)
        self.importance = dense(1, numerics, init, use_bias=False)

    def __call__(
        self, words: Float[Array, "R L D"], texts: TextBatch, *, train: bool = False
    ) -> Float[Array, "Q D"]:
        """One vector a query; zeros where there is no query."""
        attended = self.attended(words, texts.segment, texts.position, train=train)
        weights = self.weights(attended, texts.segment)
        pooled = jnp.einsum("rsl,rld->rsd", weights.astype(attended.dtype), attended)
        return of_texts(pooled, texts)

    def attended(
        self,
        words: Float[Array, "R L D"],
        segment: Int[Array, "R L"],
        position: Int[Array, "R L"],
        *,
        train: bool = False,
    ) -> Float[Array, "R L D"]:
        words = self.position(self.projection(words, train=train), position)
        words = self.position_dropout(words, train=train)
        return self.attention(
            words, attention_bias(segment, self.numerics), train=train
        )

    def weights(
        self, attended: Float[Array, "R L D"], segment: Int[Array, "R L"]
    ) -> Float[Array, "R L L"]:
        """[r, s, l]: how much slot l counts in segment s + 1 of row r.

        A row of L slots has at most L segments. Where a segment does not exist the
        weights are uniform, and nothing reads them.
        """
        scores = self.importance(attended)[..., 0].astype(self.numerics.wide)
        numbers = jnp.arange(1, segment.shape[1] + 1)
        is_own = segment[:, None, :] == numbers[None, :, None]
        return jax.nn.softmax(jnp.where(is_own, scores[:, None, :], -1e9))
