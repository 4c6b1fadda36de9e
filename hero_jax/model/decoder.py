"""Writes a caption word by word while it looks at the frames of a moment (A.8)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.dropout import Dropout
from hero_jax.model.layers import Numerics, dense, gelu, head_init, layer_norm, table
from hero_jax.model.transformer import Residual, TransformerConfig, attend
from hero_jax.types import Array, Bool, Float, Int


class KeysValues(NamedTuple):
    """What attention looks at: a key and a value at each of S places."""

    keys: Float[Array, "*N S H _"]
    values: Float[Array, "*N S H _"]


class CaptionDecoder(nn.Module):
    """Layers that read the words so far and then the frames.

    Whole captions go through at once while training. While writing, every layer keeps
    the keys and values of the words before, so that a step costs one word (H-41):

        places       0 1 2 3 4 5
        word 3 sees  1 1 1 1 . .    the words up to its own, and all frames
    """

    config: TransformerConfig
    num_positions: int
    num_languages: int
    numerics: Numerics

    def setup(self) -> None:
        numerics, width = self.numerics, self.config.width
        # Drawn from N(0, 1), like the positions of queries (H-11).
        start = nn.initializers.normal(1.0)
        self.position = table(self.num_positions, width, numerics, start)
        self.norm = layer_norm(numerics)
        if self.num_languages > 1:  # officially there is one
            start = nn.initializers.zeros
            self.language = table(self.num_languages, width, numerics, start)
        stacked = {
            "variable_axes": {"params": 0},
            "split_rngs": {"params": True, "dropout": True},
            "length": self.config.num_layers,
        }
        of_each = (0, 0, *[nn.broadcast] * 4)  # frames and past; what all layers share
        methods = {"look": stacked, "__call__": stacked | {"in_axes": of_each}}
        layers = nn.scan(DecoderLayer, methods=methods)
        self.layers = layers(self.config, numerics)

    def look(self, frames: Float[Array, "N F D"]) -> KeysValues:
        """The frames as every layer reads them, [layers N F H _]."""
        return self.layers.look(frames.astype(self.numerics.compute))[1]

    def __call__(
        self,
        words: Float[Array, "N T D"],
        frames: KeysValues,
        frame_mask: Bool[Array, "N F"],
        language: Int[Array, "N"],
        *,
        train: bool = False,
    ) -> Float[Array, "N T D"]:
        """What follows each word, given the words up to it. Nothing hides padding
        words: they come last, and nothing before them looks at them."""
        places = jnp.arange(words.shape[1])
        bias = self._bias(places[None, :] <= places[:, None])
        x = self._embedded(words, places, language[:, None])
        seen = self._bias(frame_mask[:, None, None, :])
        return self.layers(x, frames, None, 0, bias, seen, train)[0]

    def step(
        self,
        words: Float[Array, "N D"],
        place: Int[Array, ""],
        past: KeysValues,
        frames: KeysValues,
        frame_mask: Bool[Array, "N F"],
        language: Int[Array, "N"],
    ) -> tuple[Float[Array, "N D"], KeysValues]:
        """The same for the one word at `place`; `past` gains its key and value."""
        is_before = jnp.arange(past.keys.shape[2]) <= place
        x = self._embedded(words, place, language)[:, None]
        seen = self._bias(frame_mask[:, None, None, :])
        x, past = self.layers(
            x, frames, past, place, self._bias(is_before), seen, False
        )
        return x[:, 0], past

    def no_past(self, num_captions: int, length: int) -> KeysValues:
        """Room for the keys and values of `length` words, in every layer."""
        heads = self.config.num_heads
        shape = (length, heads, self.config.width // heads)
        empty = jnp.zeros(
            (self.config.num_layers, num_captions, *shape), self.numerics.compute
        )
        return KeysValues(empty, empty)

    def _embedded(
        self,
        words: Float[Array, "*N D"],
        place: Int[Array, "*T"],
        language: Int[Array, "*L"],
    ) -> Float[Array, "*N D"]:
        """No dropout here (A.8). Each word is told in which language to write."""
        x = words + self.position(place)
        if self.num_languages > 1:
            x = x + self.language(language)
        return self.norm(x)

    def _bias(self, is_seen: Bool[Array, "*N"]) -> Float[Array, "*N"]:
        """0 where attention may look. Where it may look nowhere it looks everywhere."""
        hidden = -1e4 if self.numerics.official else -1e9
        return jnp.where(is_seen, 0, hidden).astype(self.numerics.wide)


class DecoderLayer(nn.Module):
    """Words look back, then at the frames; then a feed-forward block."""

    config: TransformerConfig
    numerics: Numerics

    def setup(self) -> None:
        c, numerics = self.config, self.numerics
        self.self_attention = Looking(c, numerics)
        self.cross_attention = Looking(c, numerics)
        self.inner = dense(c.mlp_width, numerics, head_init(c.width))
        self.output = Residual(c.dropout, numerics, head_init(c.mlp_width))

    def look(self, frames: Float[Array, "N F D"]) -> tuple[Array, KeysValues]:
        return frames, self.cross_attention.look(frames)

    def __call__(
        self,
        x: Float[Array, "N T D"],
        frames: KeysValues,
        past: KeysValues | None,
        place: Int[Array, ""] | int,
        bias: Float[Array, "*T S"],
        seen: Float[Array, "N 1 1 F"],
        train: bool,
    ) -> tuple[Float[Array, "N T D"], KeysValues]:
        """The words behind `past`, from `place` on, and the past with them in it."""
        words = self.self_attention.look(x)
        if past is not None:
            write = lambda old, new: jax.lax.dynamic_update_slice_in_dim(
                old, new, place, axis=1
            )
            words = KeysValues(*map(write, past, words))
        x = self.self_attention(x, words, bias, train=train)
        x = self.cross_attention(x, frames, seen, train=train)
        return self.output(gelu(self.inner(x)), x, train=train), words


class Looking(nn.Module):
    """Multi-head attention to keys and values that may be known beforehand."""

    config: TransformerConfig
    numerics: Numerics

    def setup(self) -> None:
        width, numerics = self.config.width, self.numerics
        start = head_init(width)
        make = lambda: dense(width, numerics, start)
        self.query, self.key, self.value = make(), make(), make()
        self.weight_dropout = Dropout(self.config.dropout, numerics.dropout_kind)
        self.output = Residual(self.config.dropout, numerics, start)

    def look(self, x: Float[Array, "N S D"]) -> KeysValues:
        return KeysValues(self._in_heads(self.key(x)), self._in_heads(self.value(x)))

    def __call__(
        self,
        x: Float[Array, "N T D"],
        at: KeysValues,
        bias: Float[Array, "*T S"],
        *,
        train: bool,
    ) -> Float[Array, "N T D"]:
        query = self._in_heads(self.query(x))
        drop: Any = lambda weights: self.weight_dropout(weights, train=train)
        mixed = attend(query, *at, bias, drop, self.numerics)
        return self.output(mixed.reshape(x.shape), x, train=train)

    def _in_heads(self, x: Float[Array, "N S D"]) -> Float[Array, "N S H _"]:
        heads = self.config.num_heads
        return x.reshape(*x.shape[:-1], heads, x.shape[-1] // heads)
