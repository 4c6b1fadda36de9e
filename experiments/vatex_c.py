"""VATEX-EN-C: what a short video shows, in a sentence.

    python -m data_pipelines.build vatex_en_c --data_dir RELEASE --features DIR \
        --out OUT
    python -m experiments.vatex_c --run_dir runs/vatex_c --data_dir OUT --tokenizer BPE

The recipe of TVC (`experiments/tvc.py`) with 8 x 128 captions in a batch: an example is
one caption and the whole of its video. As officially it learns from the validation
videos as well, and the public test split is the one that is scored. A corpus with
English and Chinese captions trains both. Without a dataset vatex_en_c the experiment
reads the vatex_en_r that `hero-jax convert-db` writes.
"""

import dataclasses
from typing import ClassVar

from experiments import captioning, judging
from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.source import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class VatexC(captioning.Describing):
    """Captions of short videos."""

    ALSO_IN: ClassVar[str] = "vatex_en_r"
    """Officially what was asked in training is what was written (D.7)."""

    dataset: str = "vatex_en_c"
    """The corpus' name."""
    train_split: str = "train+val"
    """The split that is learned from, or several joined: train+val."""
    split: str = "test_public"
    """The split that is validated and answered in the end."""
    batch_size: int = 128
    """Captions in a batch of one reference GPU."""

    @property
    def name(self) -> str:
        return "vatex_c"

    def task(self, source: Source) -> Captioning:
        return dataclasses.replace(self.captioning(source), is_by_caption=True)


if __name__ == "__main__":
    judging.main(VatexC, __doc__)
