"""Answering questions: the right candidate, and the moment that shows it (D.4)."""

import dataclasses

import jax.numpy as jnp

from hero_jax.losses.cross_entropy import cross_entropy
from hero_jax.losses.reduce import masked_mean
from hero_jax.losses.span import boundary_losses
from hero_jax.types import Array, Float, Int, Metrics, Scalar


@dataclasses.dataclass(frozen=True)
class AnswerLoss:
    """Cross entropy over the candidates, and over the frames of the moment."""

    span_weight: float = 0.4
    """How much the moment counts beside the answer (official lw_st_ed); 0 for none."""

    def __call__(
        self,
        logits: Float[Array, "Q N"],
        start: Float[Array, "Q F"],
        end: Float[Array, "Q F"],
        labels: Int[Array, "Q"],
        spans: Int[Array, "Q 2"],
    ) -> tuple[Scalar, Metrics]:
        """The weighted loss and its unweighted terms; labels and frames may be -1.

        What nobody knows costs nothing: each mean is over the questions that have a
        label, a first frame, a last frame; 0 where none has (H-24).
        """
        labels, spans = jnp.asarray(labels), jnp.asarray(spans)
        is_question = jnp.ones(labels.shape, bool)
        answer = cross_entropy(logits, labels, labels >= 0)
        first = masked_mean(*boundary_losses(start, spans[:, 0], is_question))
        last = masked_mean(*boundary_losses(end, spans[:, 1], is_question))
        span = (first + last) / 2
        total = answer + self.span_weight * span
        return total, {"answer": answer, "span": span}
