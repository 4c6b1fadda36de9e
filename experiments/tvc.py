"""TVC: what happens in a moment of a TV show, in a sentence.

    python -m data_pipelines.build tvc --data_dir RELEASE --features DIR --out OUT
    python -m experiments.tvc --run_dir runs/tvc --data_dir OUT --tokenizer BPE

The defaults are the official recipe: 8 x 4 videos with all their captions in a batch,
AdamW at 1e-4 (the decoder at ten times that), 7,000 updates, 700 of warm-up, label
smoothing 0.1, one subtitle of context, at most 30 tokens, greedy. Published: CIDEr
49.98 with pre-training. What was written stands in `<run_dir>/tvc/predictions`. On a
CPU, on the corpus of the quickstart:

    python -m experiments.tvc --run_dir runs/tvc_microtv --dataset microtv \
        --data_dir runs/quickstart/dataset --model small --width 64 --reference_gpus 1 \
        --batch_size 16 --steps 400 --warmup_steps 40 --eval_every 400 \
        --learning_rate 2e-3 --head_multiplier 1 --split test
"""

import dataclasses

from experiments import captioning, judging


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tvc(captioning.Describing):
    """Captions of moments in TV shows."""

    dataset: str = "tvc"
    """The corpus' name."""
    batch_size: int = 4
    """Videos, with all their captions, in a batch of one reference GPU."""


if __name__ == "__main__":
    judging.main(Tvc, __doc__)
