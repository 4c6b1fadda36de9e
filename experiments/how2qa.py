"""How2QA: four answers to a question about an instructional video.

    python -m data_pipelines.build how2qa --data_dir RELEASE --features DIR --out OUT
    python -m experiments.how2qa --run_dir runs/how2qa --data_dir OUT --tokenizer BPE

The recipe of TVQA (`experiments/tvqa.py`) with VALUE's 2,000 updates, 200 of warm-up.
Published: 77.75 % with pre-training.
"""

import dataclasses

from experiments import judging
from experiments.tvqa import Tvqa


@dataclasses.dataclass(frozen=True, kw_only=True)
class How2Qa(Tvqa):
    """Questions about instructional videos."""

    dataset: str = "how2qa"
    """The corpus' name."""
    steps: int = 2_000
    """Updates."""
    warmup_steps: int = 200
    """Updates over which the learning rate rises."""


if __name__ == "__main__":
    judging.main(How2Qa, __doc__)
