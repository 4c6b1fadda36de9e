"""From a hidden vector to the word it stands for (A.4, LM head)."""

import flax.linen as nn
import jax.numpy as jnp

from hero_jax.model.layers import Numerics, dense, gelu, layer_norm
from hero_jax.types import Array, Float


class WordHead(nn.Module):
    """A transform, then the product with the word table that also embeds."""

    numerics: Numerics

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "*N D"], words: Float[Array, "V D"]
    ) -> Float[Array, "*N V"]:
        hidden = gelu(dense(hidden.shape[-1], self.numerics, name="dense")(hidden))
        hidden = layer_norm(self.numerics, name="norm")(hidden)
        logits = jnp.einsum(
            "...d,vd->...v",
            hidden,
            words.astype(hidden.dtype),
            preferred_element_type=self.numerics.wide,
        )
        bias = self.param("bias", nn.initializers.zeros, words.shape[:1], jnp.float32)
        return logits + bias
