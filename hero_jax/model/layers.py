"""The small layers that every part of the model is made of."""

import dataclasses
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hero_jax.model.dropout import Dropout, DropoutKind
from hero_jax.types import Array, Float, Int


@dataclasses.dataclass(frozen=True)
class Numerics:
    """How every layer computes. Parameters are float32 whatever is chosen here."""

    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """Of matrix products and hidden states; norms and softmax never below float32."""
    dropout_kind: DropoutKind = "hash"
    """Where random bits come from: a cheap counter hash, or `jax.random.bernoulli`."""
    official: bool = False
    """Repeats the official code's masks and its reading of padding (H-12)."""

    @property
    def compute(self) -> Any:
        if jax.dtypes.canonicalize_dtype(self.dtype) != self.dtype:
            raise ValueError(
                'model: dtype="float64" needs 64-bit JAX: set JAX_ENABLE_X64=1'
            )
        return jnp.dtype(self.dtype)

    @property
    def wide(self) -> Any:
        """At least float32: for softmax, norms, scores and logits."""
        return jnp.promote_types(self.compute, jnp.float32)


class Init(NamedTuple):
    """How a linear layer starts (A.11)."""

    kernel: nn.initializers.Initializer
    bias: nn.initializers.Initializer


TOWER = Init(nn.initializers.normal(0.02), nn.initializers.zeros)
"""Everything under the official `v_encoder`."""


def head_init(fan_in: int) -> Init:
    """PyTorch's default, which the official heads keep: U(-b, b), b = fan_in**-0.5."""
    bound = fan_in**-0.5

    def draw(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return Init(draw, draw)


def dense(
    width: int,
    numerics: Numerics,
    start: Init = TOWER,
    *,
    use_bias: bool = True,
    name: str | None = None,
) -> nn.Dense:
    return nn.Dense(
        width,
        use_bias=use_bias,
        dtype=numerics.compute,
        kernel_init=start.kernel,
        bias_init=start.bias,
        name=name,
    )


def layer_norm(
    numerics: Numerics, *, epsilon: float = 1e-5, name: str | None = None
) -> nn.LayerNorm:
    """Two-pass statistics: the one-pass variance loses the small ones (eps 1e-12)."""
    return nn.LayerNorm(
        epsilon=epsilon, dtype=numerics.compute, use_fast_variance=False, name=name
    )


def table(
    rows: int,
    width: int,
    numerics: Numerics,
    start: nn.initializers.Initializer = TOWER.kernel,
    *,
    name: str | None = None,
) -> nn.Embed:
    return nn.Embed(
        rows, width, dtype=numerics.compute, embedding_init=start, name=name
    )


def gelu(x: Float[Array, "*N"]) -> Float[Array, "*N"]:
    """The exact form, with erf (A.3)."""
    return nn.gelu(x, approximate=False)


class Projection(nn.Module):
    """Norm, dropout, linear, ReLU: the official LinearLayer."""

    width: int
    dropout: float
    numerics: Numerics
    start: Init = TOWER

    @nn.compact
    def __call__(
        self, x: Float[Array, "*N E"], *, train: bool = False
    ) -> Float[Array, "*N D"]:
        x = layer_norm(self.numerics, name="norm")(x)
        x = Dropout(self.dropout, self.numerics.dropout_kind)(x, train=train)
        return nn.relu(dense(self.width, self.numerics, self.start, name="dense")(x))


class PositionEmbedding(nn.Module):
    """Adds where each vector stands, and normalises (before the temporal tower, and
    over the words of a query)."""

    num_positions: int
    numerics: Numerics
    start: nn.initializers.Initializer = TOWER.kernel

    @nn.compact
    def __call__(
        self, x: Float[Array, "R L D"], position: Int[Array, "*R L"]
    ) -> Float[Array, "R L D"]:
        positions = table(
            self.num_positions, x.shape[-1], self.numerics, self.start, name="position"
        )
        return layer_norm(self.numerics, name="norm")(x + positions(position))


class MlpHead(nn.Module):
    """Linear to twice the width, GELU, norm, linear: the official MLPLayer (A.3)."""

    num_outputs: int
    numerics: Numerics
    starts: tuple[Init, Init] = (TOWER, TOWER)
    """Of the inner and of the outer layer."""

    @nn.compact
    def __call__(self, x: Float[Array, "*N D"]) -> Float[Array, "*N V"]:
        inner = dense(2 * x.shape[-1], self.numerics, self.starts[0], name="inner")
        x = layer_norm(self.numerics, name="norm")(gelu(inner(x)))
        return dense(self.num_outputs, self.numerics, self.starts[1], name="outer")(x)


class FrameRegression(nn.Module):
    """Frame vectors back to raw features, for masked frames (A.7, feat_regress)."""

    feature_width: int
    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "*N D"]) -> Float[Array, "*N E"]:
        x = gelu(dense(x.shape[-1], self.numerics, name="inner")(x))
        x = layer_norm(self.numerics, name="norm")(x)
        return dense(self.feature_width, self.numerics, name="outer")(x)
