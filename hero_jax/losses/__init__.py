"""Objectives: pure functions of arrays. Each retrieval objective is a frozen dataclass
whose fields are its hyperparameters and whose call has the one common signature

    objective(scores: Float["Q B"], positives: Bool["Q B"], allowed: Bool["Q B"], *,
              step, key=None, vectors=None) -> (scalar, terms)

`positives` marks the true videos of each query, `allowed` the pairs that may serve as
negatives (false for the same video, the same text, and padding). Padding queries have
no positive; padding videos have no positive and are allowed nowhere.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from hero_jax.types import Array, Bool, Float, Int, Key, Metrics, Scalar


@runtime_checkable
class Objective(Protocol):
    """What every retrieval objective is, whatever its formula."""

    def __call__(
        self,
        scores: Float[Array, "Q B"],
        positives: Bool[Array, "Q B"],
        allowed: Bool[Array, "Q B"],
        *,
        step: Int[Array, ""] | int,
        key: Key[Array, ""] | None = None,
        vectors: Mapping[str, Array] | None = None,
    ) -> tuple[Scalar, Metrics]: ...
