"""YC2R: the segment of a cooking video that a query describes.

    python -m data_pipelines.build yc2r --data_dir RELEASE --features DIR --out OUT
    python -m experiments.yc2r --run_dir runs/yc2r --data_dir OUT --tokenizer BPE \
        --start hero-tv-ht100.pt

The recipe of MSR-VTT (`experiments/msrvtt.py`) with 4 x 48 queries in a batch. RELEASE
may also be YouCook2 itself in English and Japanese: one model learns both languages.
"""

import dataclasses

from experiments import judging
from experiments.msrvtt import Msrvtt


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yc2r(Msrvtt):
    """Segments of cooking videos."""

    dataset: str = "yc2r"
    """The corpus' name."""
    batch_size: int = 48
    """Queries, each with its video, in a batch of one reference GPU."""


if __name__ == "__main__":
    judging.main(Yc2r, __doc__)
