"""VATEX-EN-R: the short video that a query describes, of what people do.

    python -m data_pipelines.build vatex_en_r --data_dir RELEASE --features DIR \
        --out OUT
    python -m experiments.vatex_r --run_dir runs/vatex_r --data_dir OUT \
        --tokenizer BPE --start hero-tv-ht100.pt

The recipe of MSR-VTT (`experiments/msrvtt.py`) with 8 x 64 queries in a batch. A corpus
with English and Chinese captions trains both.
"""

import dataclasses

from experiments import judging
from experiments.msrvtt import Msrvtt


@dataclasses.dataclass(frozen=True, kw_only=True)
class VatexR(Msrvtt):
    """Short videos of what people do."""

    dataset: str = "vatex_en_r"
    """The corpus' name."""
    reference_gpus: int = 8
    """GPUs of the recipe: a batch has as many times `batch_size` examples."""
    batch_size: int = 64
    """Queries, each with its video, in a batch of one reference GPU."""

    @property
    def name(self) -> str:
        return "vatex_r"


if __name__ == "__main__":
    judging.main(VatexR, __doc__)
