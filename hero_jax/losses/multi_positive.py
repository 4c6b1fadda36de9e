"""InfoNCE with several true pairs in one softmax (Khosla et al. 2020, L_out).

    mean over positives p of -log( e^(s_ip/t) / sum over positives and negatives )

A video has as many positives as it has queries in the batch. They compete: the loss of
k equal positives is at least log k. With one positive this is `InfoNCE`.
"""

import dataclasses

from hero_jax.losses.both_ways import BothWays, log_sum
from hero_jax.types import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class MultiPositive(BothWays):
    """Every true pair counts in the denominators of the others of its row."""

    temperature: float = 0.07
    """Scores are divided by this."""

    def cost(
        self,
        scores: Float[Array, "N1 N2"],
        positives: Bool[Array, "N1 N2"],
        negative: Bool[Array, "N1 N2"],
    ) -> Float[Array, "N1 N2"]:
        logits = scores / self.temperature
        return log_sum(logits, positives | negative) - logits
