"""SigLIP: each pair is judged for itself, true or not (Zhai et al. 2023).

    -(1/N) sum over pairs of log sigmoid( z_ij (e^t' s_ij + b) ),   z = 1 true, -1 not

N counts queries. No pair sees another, so there is nothing to normalise over a batch.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hero_jax.losses.both_ways import counted
from hero_jax.losses.temperature import capped_exp, learned
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class SigLIP:
    """Binary cross entropy of every true and every allowed pair."""

    temperature: float = 0.1
    """Scores are divided by this; what a learned temperature starts from."""
    bias: float = -10.0
    """Added to every logit; what a learned bias starts from. Nearly all pairs are
    false, and this says so from the start."""
    is_learned: bool = True
    """Read `vectors["log_scale"]` and `vectors["bias"]` instead, as published."""
    max_scale: float = 100.0
    """Largest 1 / temperature that can be learned."""

    def __call__(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        allowed: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
        key: Key[Array, ""] | None = None,
        vectors: Mapping[str, Array] | None = None,
    ) -> tuple[Scalar, Metrics]:
        """The loss and its terms: cost of true pairs, cost of others, scale, bias."""
        scores, negative = counted(scores, positives, allowed)
        scale, bias = self.scale_and_bias(vectors)
        logits = scale * scores + bias
        count = jnp.maximum(jnp.sum(jnp.any(positives, axis=1)), 1)
        true = jnp.sum(jnp.where(positives, jax.nn.softplus(-logits), 0)) / count
        other = jnp.sum(jnp.where(negative, jax.nn.softplus(logits), 0)) / count
        terms = {"true": true, "other": other, "temperature": 1 / scale, "bias": bias}
        return true + other, terms

    def scale_and_bias(
        self, vectors: Mapping[str, Array] | None
    ) -> tuple[Scalar, Scalar]:
        """1 / temperature and the bias."""
        if not self.is_learned:
            return jnp.asarray(1 / self.temperature), jnp.asarray(self.bias)
        log_scale = learned(vectors, "log_scale", "SigLIP")
        bias = learned(vectors, "bias", "SigLIP")
        return capped_exp(log_scale, self.max_scale), bias
