"""How often the right answer was chosen, beside what guessing would reach (F.6)."""

from typing import Any

import numpy as np

from hero_jax.types import Float, Int


def answer_accuracy(
    logits: Float[np.ndarray, "Q N"], labels: Int[np.ndarray, "Q"]
) -> dict[str, Any]:
    """Percent of the questions with a label (0 or more) whose best candidate it is.

    `accuracy` and `loss` (mean cross entropy) are None where no label is known.
    """
    known = labels >= 0
    if not known.any():
        return _summary(len(labels), None, None, 100 / logits.shape[1])
    chosen, wanted = logits[known].astype(np.float64), labels[known]
    losses = (
        np.logaddexp.reduce(chosen, axis=1) - chosen[np.arange(len(chosen)), wanted]
    )
    hits = chosen.argmax(axis=1) == wanted
    return _summary(len(labels), hits, losses, 100 / logits.shape[1])


def verdict_accuracy(
    logits: Float[np.ndarray, "N"], labels: Int[np.ndarray, "N"]
) -> dict[str, Any]:
    """The same for statements: 1 true, 0 false, -1 unknown; true above 1/2.

    `chance` is what the more frequent verdict would reach.
    """
    known = labels >= 0
    if not known.any():
        return _summary(len(labels), None, None, 50.0)
    given, wanted = logits[known].astype(np.float64), labels[known]
    losses = np.logaddexp(0, np.where(wanted == 1, -given, given))
    share = 100 * float(np.mean(wanted == 1))
    hits = (given > 0) == (wanted == 1)
    return _summary(len(labels), hits, losses, max(share, 100 - share))


def _summary(
    count: int, hits: np.ndarray | None, losses: np.ndarray | None, chance: float
) -> dict[str, Any]:
    mean = lambda values: None if values is None else float(np.mean(values))
    return {
        "accuracy": None if hits is None else 100 * float(np.mean(hits)),
        "loss": mean(losses),
        "num_texts": count,
        "chance": {"accuracy": chance},
    }
