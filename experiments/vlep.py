"""VLEP: which of two events happens next in a video.

    python -m data_pipelines.build vlep --data_dir RELEASE --features DIR --out OUT
    python -m experiments.vlep --run_dir runs/vlep --data_dir OUT --tokenizer BPE

The recipe of TVQA (`experiments/tvqa.py`) with VALUE's 1,000 updates, 100 of warm-up,
validated every 100. Officially the moments of VLEP are never read, for they are lists
and not texts (H-51); `--span_weight 0` learns without them too.
"""

import dataclasses

from experiments import judging
from experiments.tvqa import Tvqa


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vlep(Tvqa):
    """Two events, one of which happens next."""

    dataset: str = "vlep"
    """The corpus' name."""
    steps: int = 1_000
    """Updates."""
    warmup_steps: int = 100
    """Updates over which the learning rate rises."""
    eval_every: int = 100
    """Steps from one validation, and one checkpoint, to the next."""
    split: str = "dev"
    """The split that is validated and answered in the end."""


if __name__ == "__main__":
    judging.main(Vlep, __doc__)
