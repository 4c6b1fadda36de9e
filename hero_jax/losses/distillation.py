"""C2KD: other languages learn the English ranking (Rouditchenko et al. 2023).

    InfoNCE(student) + alpha * CE(T_i, S_i),   S_i = softmax(s_i / t),
    T_i = mean over teachers of softmax(teacher's s_i / t)

Rows and columns both, averaged. Teachers score the English version of every query; the
student another language. The authors pool teachers' scores instead of probabilities,
which is the same for one teacher.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from hero_jax.losses.both_ways import NOTHING, counted
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.losses.reduce import at_least_float32, masked_mean
from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class Distillation:
    """Reads `vectors["teacher_scores"]` [N Q B], one score matrix for each teacher."""

    temperature: float = 0.05
    """Scores of student and teachers are divided by this."""
    alpha: float = 1.0
    """How much the teachers count beside the contrast; chosen on validation videos."""

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
        """The loss, InfoNCE's terms, and "taught", the cross entropy alone."""
        if vectors is None or "teacher_scores" not in vectors:
            raise ValueError(
                'Distillation: found no vectors["teacher_scores"]: give the scores of '
                "at least one teacher"
            )
        contrast = InfoNCE(self.temperature)
        total, terms = contrast(scores, positives, allowed, step=step)
        student, negative = counted(scores, positives, allowed)
        teachers = at_least_float32(jnp.asarray(vectors["teacher_scores"]))
        teachers, mask = jax.lax.stop_gradient(teachers), positives | negative
        context = self.taught(student, teachers, mask, jnp.any(positives, axis=1))
        by_video = jnp.swapaxes(teachers, 1, 2)
        query = self.taught(student.T, by_video, mask.T, jnp.any(positives, axis=0))
        taught = (context + query) / 2
        return total + self.alpha * taught, terms | {"taught": taught}

    def taught(
        self,
        student: Float[Array, "N1 N2"],
        teachers: Float[Array, "N N1 N2"],
        mask: Bool[Array, "N1 N2"],
        is_real: Bool[Array, "N1"],
    ) -> Scalar:
        """Mean over real rows of the cross entropy, over what is in the mask."""
        soft = lambda x: jnp.where(mask, x / self.temperature, NOTHING)
        targets = jnp.mean(jax.nn.softmax(soft(teachers), axis=-1), axis=0)
        log_p = jax.nn.log_softmax(soft(student), axis=-1)
        costs = -jnp.sum(jnp.where(mask, targets * log_p, 0), axis=1)
        return masked_mean(costs, is_real)
