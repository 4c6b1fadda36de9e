"""MSR-VTT: the short video that a query describes.

    python -m data_pipelines.build msrvtt --data_dir RELEASE --features DIR --out OUT \
        --interval 2
    python -m experiments.msrvtt --run_dir runs/msrvtt --data_dir OUT --tokenizer BPE \
        --start hero-tv-ht100.pt

The official recipe: 4 x 96 queries in a batch, two batches an update, AdamW at 7e-5,
4,000 updates, 400 of warm-up, ranking weights of 10, hard negatives from update 2,000
among 80; a frame every two seconds, one subtitle of context. Subtitles are what was
heard (`msrvtt_asr.jsonl`); `--channels video` does without. Nothing is learned about
moments, and the table has videos alone.
"""

import dataclasses
from typing import ClassVar

from experiments import judging
from experiments.didemo import RANKING
from experiments.retrieving import Retrieving
from hero_jax.losses.ranking import VSM


@dataclasses.dataclass(frozen=True, kw_only=True)
class Msrvtt(Retrieving):
    """Short videos of any kind."""

    HAS_MOMENTS: ClassVar[bool] = False

    dataset: str = "msrvtt"
    """The corpus' name."""
    reference_gpus: int = 4
    """GPUs of the recipe: a batch has as many times `batch_size` examples."""
    batch_size: int = 96
    """Queries, each with its video, in a batch of one reference GPU."""
    steps: int = 4_000
    """Updates."""
    warmup_steps: int = 400
    """Updates over which the learning rate rises."""
    learning_rate: float = 7e-5
    """The peak, after the warm-up."""
    context: int = 1
    """Earlier subtitles read with each one (official sub_ctx_len)."""
    ranking: VSM = RANKING
    """Ranks videos; `reference_gpus` is that of the recipe."""


if __name__ == "__main__":
    judging.main(Msrvtt, __doc__)
