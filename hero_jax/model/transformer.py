"""Post-norm transformer of any depth, the building block of every tower."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.dropout import Dropout
from hero_jax.model.layers import TOWER, Init, Numerics, dense, gelu, layer_norm
from hero_jax.types import Array, Float, Int

INNER_EPSILON = 1e-12
"""Of the norms inside a layer; every other norm of the model has 1e-5 (A.2)."""


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """The size of one tower."""

    width: int = 768
    """D, the size of every hidden vector."""
    num_heads: int = 12
    """H; divides the width."""
    num_layers: int = 6
    """Zero hands the input through."""
    mlp_width: int = 3072
    """I, the width inside each feed-forward block."""
    dropout: float = 0.1
    """On attention weights and before each residual sum."""

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ValueError(
                f"TransformerConfig: width {self.width} does not divide into "
                f"num_heads {self.num_heads}: choose a multiple"
            )


class Transformer(nn.Module):
    """Layers in sequence; their parameters are stacked, one leading axis of layers.

    One compiled layer serves all of them, which halves the time to compile.
    """

    config: TransformerConfig
    numerics: Numerics

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "R L D"],
        segment: Int[Array, "R L"],
        *,
        train: bool,
        layer: int | None = None,
    ) -> Float[Array, "R L D"]:
        """Every slot attends to the slots of its own segment.

        Returns what the last layer says, or layer number `layer`; 0 is the input.
        Raises ValueError for a layer that there is not.
        """
        if layer is not None and not 0 <= layer <= self.config.num_layers:
            raise ValueError(
                f"layer: found {layer}, expected 0 to {self.config.num_layers}"
            )
        x = x.astype(self.numerics.compute)
        if self.config.num_layers == 0 or layer == 0:
            return x
        layers = nn.scan(
            Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,
            length=self.config.num_layers,
        )(self.config, self.numerics, train, layer is not None, name="layers")
        last, every = layers(x, attention_bias(segment, self.numerics))
        return last if layer is None or every is None else every[layer - 1]


class Layer(nn.Module):
    """Attention, then a feed-forward block."""

    config: TransformerConfig
    numerics: Numerics
    train: bool
    is_kept: bool = False
    """Hand the output out beside handing it on, for readers of inner layers."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "R L D"], bias: Float[Array, "R 1 _ L"]
    ) -> tuple[Float[Array, "R L D"], Float[Array, "R L D"] | None]:
        config, numerics = self.config, self.numerics
        attention = Attention(
            config.num_heads, config.dropout, numerics, name="attention"
        )
        x = attention(x, bias, train=self.train)
        inner = gelu(dense(config.mlp_width, numerics, name="inner")(x))
        output = Residual(config.dropout, numerics, name="output")
        x = output(inner, x, train=self.train)
        return x, x if self.is_kept else None


class Attention(nn.Module):
    """Multi-head self-attention with its output layer and residual."""

    num_heads: int
    dropout: float
    numerics: Numerics
    start: Init = TOWER

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "R L D"],
        bias: Float[Array, "R 1 _ L"],
        *,
        train: bool,
    ) -> Float[Array, "R L D"]:
        numerics, width = self.numerics, x.shape[-1]
        heads = (*x.shape[:2], self.num_heads, width // self.num_heads)
        project = lambda name: dense(width, numerics, self.start, name=name)(x).reshape(
            heads
        )
        query, key, value = project("query"), project("key"), project("value")
        dropout = Dropout(self.dropout, numerics.dropout_kind)
        drop = lambda weights: dropout(weights, train=train)
        mixed = attend(query, key, value, bias, drop, numerics)
        output = Residual(self.dropout, numerics, self.start, name="output")
        return output(mixed.reshape(x.shape), x, train=train)


def attend(
    query: Float[Array, "R L H _"],
    key: Float[Array, "R S H _"],
    value: Float[Array, "R S H _"],
    bias: Float[Array, "*N S"],
    drop: Callable[[Array], Array],
    numerics: Numerics,
) -> Float[Array, "R L H _"]:
    """Values mixed by softmax(query . key / sqrt(width) + bias), then `drop`."""
    scores = jnp.einsum(
        "rlhd,rmhd->rhlm", query, key, preferred_element_type=numerics.wide
    )
    weights = drop(jax.nn.softmax(scores * query.shape[-1] ** -0.5 + bias))
    return jnp.einsum("rhlm,rmhd->rlhd", weights.astype(value.dtype), value)


class Residual(nn.Module):
    """What a block adds to its input: linear, dropout, sum, norm."""

    dropout: float
    numerics: Numerics
    start: Init = TOWER

    @nn.compact
    def __call__(
        self, x: Float[Array, "R L I"], residual: Float[Array, "R L D"], *, train: bool
    ) -> Float[Array, "R L D"]:
        x = dense(residual.shape[-1], self.numerics, self.start, name="dense")(x)
        x = Dropout(self.dropout, self.numerics.dropout_kind)(x, train=train)
        norm = layer_norm(self.numerics, epsilon=INNER_EPSILON, name="norm")
        return norm(residual + x)


def attention_bias(
    segment: Int[Array, "R L"], numerics: Numerics
) -> Float[Array, "R 1 _ L"]:
    """What is added to the scores: 0 within a segment, hugely negative elsewhere.

        segment 1 1 2 0     default    1 1 . .     official    1 1 1 .
                                       1 1 . .                 1 1 1 .
                                       . . 2 .                 1 1 1 .
                                       . . . 0                 1 1 1 .

    Padding attends to padding, so no row is without a key and everything is finite.
    The official code hides padding keys alone, by -1e4: with one segment a row, real
    slots come out the same.
    """
    if numerics.official:
        return jnp.where(segment > 0, 0, -1e4).astype(numerics.wide)[:, None, None, :]
    is_together = segment[:, :, None] == segment[:, None, :]
    return jnp.where(is_together, 0, -1e9).astype(numerics.wide)[:, None]
