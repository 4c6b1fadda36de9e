"""How2R: the moment in a corpus of instructional videos that a query describes.

    python -m data_pipelines.build how2r --data_dir RELEASE --features DIR --out OUT
    python -m experiments.how2r --run_dir runs/how2r --data_dir OUT --tokenizer BPE \
        --start hero-tv-ht100.pt

The recipe of TVR (`experiments/tvr.py`) with VALUE's 3,000 updates, 300 of warm-up,
moments of 4 to 20 frames, learned on one batch in ten, and no NMS. Hard negatives never
start, because the official file misspells their option (H-27):
`--ranking.hard_start_step 1000` starts them. Published, of the test split at IoU 0.7:
R@1 3.85, R@10 12.73, R@100 21.06.
"""

import dataclasses

from experiments import judging
from experiments.retrieving import Retrieving
from hero_jax.losses.ranking import VSM
from hero_jax.retrieval.spans import SpanRules


@dataclasses.dataclass(frozen=True, kw_only=True)
class How2R(Retrieving):
    """Moments of instructional videos."""

    dataset: str = "how2r"
    """The corpus' name."""
    steps: int = 3_000
    """Updates."""
    warmup_steps: int = 300
    """Updates over which the learning rate rises."""
    ranking: VSM = VSM(hard_start_step=None)
    """Ranks videos; `reference_gpus` is that of the recipe."""
    span_rate: float = 0.1
    """Share of batches on which moments are learned (1 - drop_svmr_prob)."""
    rules: SpanRules = SpanRules(min_frames=3, max_frames=20)
    """How moments are chosen when the corpus is searched."""


if __name__ == "__main__":
    judging.main(How2R, __doc__)
