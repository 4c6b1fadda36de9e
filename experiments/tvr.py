"""TVR: the moment in a corpus of TV shows that a query describes.

    python -m data_pipelines.build tvr --data_dir RELEASE --features DIR --out OUT
    python -m experiments.tvr --run_dir runs/tvr --data_dir OUT --tokenizer BPE \
        --start hero-tv-ht100.pt

The defaults are the official recipe: 8 x 32 queries in a batch, two batches an update,
AdamW at 1e-4, 5,000 updates, 500 of warm-up, hard negatives from update 2,000; moments
of 3 to 16 frames in the best 100 videos, NMS at 0.5. Published, of the test split at
IoU 0.7: R@1 6.21, R@10 19.34, R@100 36.66. VALUE leaves NMS out:
`--rules.nms_threshold None`. What is answered stands in `<run_dir>/tvr/predictions`, as
VALUE wants it in `<run_dir>/tvr_val_predictions_en.json`. On a CPU, on the corpus of
the quickstart:

    python -m experiments.tvr --run_dir runs/tvr_microtv --dataset microtv \
        --data_dir runs/quickstart/dataset --model small --width 64 --reference_gpus 1 \
        --batch_size 32 --accumulation 1 --steps 400 --warmup_steps 40 \
        --learning_rate 1.5e-3 --eval_every 400 --split test
"""

import dataclasses

from experiments import judging
from experiments.retrieving import Retrieving


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tvr(Retrieving):
    """Moments of TV shows."""

    dataset: str = "tvr"
    """The corpus' name."""


if __name__ == "__main__":
    judging.main(Tvr, __doc__)
