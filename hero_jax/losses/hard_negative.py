"""InfoNCE whose hard negatives count more (Robinson et al. 2021).

    -log( e^(s_ii/t) / (e^(s_ii/t) + N E) ),   w_ij ~ e^(b s_ij), of mean 1 in a row,
    E = max( (mean_j w_ij e^(s_ij/t) - p e^(s_ii/t)) / (1 - p),  e^(-1/t) )

N negatives, hardness b, prior p that a negative is none. With b = 0 and p = 0 this is
`InfoNCE`; for large b all N negatives are as the hardest. The authors' code weighs by
e^(b s_ij/t): its b is our hardness times the temperature.
"""

import dataclasses

import jax
import jax.numpy as jnp

from hero_jax.losses.both_ways import NOTHING, BothWays, log_sum
from hero_jax.types import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class HardNegative(BothWays):
    """Negatives weighed by their own score, and relieved of hidden positives."""

    temperature: float = 0.07
    """Scores are divided by this."""
    hardness: float = 1.0
    """How much more a negative counts that scores higher; 0 not at all."""
    prior: float = 0.0
    """Share of the negatives that are taken to be true pairs (tau+ of the paper)."""

    def cost(
        self,
        scores: Float[Array, "N1 N2"],
        positives: Bool[Array, "N1 N2"],
        negative: Bool[Array, "N1 N2"],
    ) -> Float[Array, "N1 N2"]:
        logits = scores / self.temperature
        weights = jnp.where(negative, self.hardness * scores, NOTHING)
        mean = log_sum(jax.nn.log_softmax(weights, axis=1) + logits, negative)
        mean = self._without_positives(mean, logits)
        count = jnp.sum(negative, axis=1, keepdims=True)
        against = jnp.log(jnp.maximum(count, 1)) + mean
        return jnp.where(count > 0, jax.nn.softplus(against - logits), 0)

    def _without_positives(
        self, mean: Float[Array, "N1 1"], logits: Float[Array, "N1 N2"]
    ) -> Float[Array, "N1 N2"]:
        """log E for the true pair in each place, from the log of the weighted mean."""
        if self.prior == 0:
            return jnp.broadcast_to(mean, logits.shape)
        floor = -1 / self.temperature
        hidden = jnp.log(self.prior) + logits - mean
        is_less = hidden < 0
        rest = jnp.log1p(-jnp.exp(jnp.where(is_less, hidden, -1.0)))
        left = mean + jnp.where(is_less, rest, 0) - jnp.log1p(-self.prior)
        return jnp.where(is_less, jnp.maximum(left, floor), floor)
