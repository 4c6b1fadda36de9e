"""Video-subtitle matching (paper section 3.3, C.5): held-out subtitles as queries."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from data_pipelines import official_pretraining
from hero_jax.losses.cross_entropy import accuracy
from hero_jax.losses.ranking import VSM
from hero_jax.model.hero import HeroConfig
from hero_jax.tasks.moment_head import MomentBatch, MomentPredictions
from hero_jax.tasks.moment_retrieval import (
    MomentRetrieval,
    PreparedMoment,
    PreparedQuery,
)
from hero_jax.tasks.pretraining import official_draws
from hero_jax.tasks.validation import validate
from hero_jax.types import Array, Int, Metrics, PyTree, Scalar


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vsm(MomentRetrieval):
    """Moment retrieval as pre-training: it needs subtitles and no annotation.

    With `is_official` a video with too few subtitles asks with its last one again.
    """

    is_means: ClassVar[bool] = True

    objective: VSM = VSM()
    draws_officially: bool = False
    """Draw with Python's `random` in the official order, seeded by the pipeline."""

    def loss(
        self,
        predictions: MomentPredictions,
        batch: MomentBatch,
        *,
        step: Int[Array, ""],
        key: Any,
    ) -> tuple[Scalar, Metrics]:
        total, terms = super().loss(predictions, batch, step=step, key=key)
        return total, terms | accuracies(predictions, batch)

    def evaluate(
        self,
        model: HeroConfig,
        params: PyTree,
        split: str,
        *,
        predictions_dir: Path | None = None,
    ) -> Mapping[str, Any]:
        """Unweighted losses and accuracies over the split, without hard negatives."""
        return validate(
            self,
            model,
            params,
            split,
            count=lambda batch: int(batch.queries.mask.sum()),
            head_params={"log_scale": np.zeros((), np.float32)},  # VSM reads none
        )

    def fingerprint(self, split: str) -> dict[str, str | int | float]:
        chosen = {
            "draws_officially": self.draws_officially,
            "repeats_queries": self.is_official,
        }
        return super().fingerprint(split) | {k: v for k, v in chosen.items() if v}

    def _chosen_lines(
        self, candidates: list[int], rng: np.random.Generator
    ) -> list[int]:
        if not self.draws_officially:
            return super()._chosen_lines(candidates, rng)
        count, draws = self.num_subtitle_queries, official_draws(rng)
        return official_pretraining.held_out(candidates, draws, count=count)

    def _padded(self, prepared: PreparedMoment) -> tuple[PreparedQuery, ...]:
        queries = prepared.queries
        if self.is_official and queries:
            queries += queries[-1:] * (self.num_queries - len(queries))
            prepared = dataclasses.replace(prepared, queries=queries)
        return super()._padded(prepared)


def accuracies(predictions: MomentPredictions, batch: MomentBatch) -> Metrics:
    """How often the own video leads its batch, and each boundary its video."""
    is_query, frames = batch.queries.mask, predictions.start.shape[1]
    spans = jnp.asarray(batch.span)
    known = is_query[:, None] & (spans >= 0) & (spans < frames)
    return {
        "video_accuracy": accuracy(predictions.scores, batch.video_of, is_query),
        "start_accuracy": accuracy(predictions.start, spans[:, 0], known[:, 0]),
        "end_accuracy": accuracy(predictions.end, spans[:, 1], known[:, 1]),
    }
