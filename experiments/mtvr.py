"""mTVR: TVR in English and Chinese, both at once, each beside subtitles of its own.

    python -m data_pipelines.build mtvr --data_dir RELEASE --features DIR --out OUT
    python -m experiments.mtvr --run_dir runs/mtvr --data_dir OUT --tokenizer XLM_R \
        --start XLM_R/model.safetensors

The recipe of TVR (`experiments/tvr.py`) with one model for both languages, trained on
the domain it is tested in. The table has every pair of query and subtitle language; the
published one has the diagonal: R@1 at IoU 0.7 of the test split 3.82 in English and
3.20 in Chinese for mXML. `--no-is_same_language` trains on all four pairs.
"""

import dataclasses

from experiments import judging
from experiments.tvr import Tvr


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mtvr(Tvr):
    """Moments of TV shows in two languages."""

    dataset: str = "mtvr"
    """The corpus' name."""


if __name__ == "__main__":
    judging.main(Mtvr, __doc__)
