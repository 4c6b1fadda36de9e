"""VIOLIN: whether a video bears out a statement.

    python -m data_pipelines.build violin --data_dir RELEASE --features DIR --out OUT
    python -m experiments.violin --run_dir runs/violin --data_dir OUT --tokenizer BPE

The defaults are HERO's recipe: 8 x 4 pairs of a statement and its contrary in a batch,
two batches an update, AdamW at 3e-5 (the head at eight times that), 6,000 updates, 600
of warm-up, every subtitle read with the two before it. VALUE reads single statements
with the head of questions: `--no-is-paired --is-answer-head`. On a CPU, on the corpus
of the quickstart:

    python -m experiments.violin --run_dir runs/violin_microtv --dataset microtv \
        --data_dir runs/quickstart/dataset --model small --width 64 --reference_gpus 1 \
        --batch_size 16 --accumulation 1 --steps 400 --warmup_steps 40 \
        --learning_rate 1.5e-3 --head_multiplier 1 --split test

That shows the run, not a result: a model that begins with nothing learns such few
statements by heart.
"""

import dataclasses

from experiments import judging
from hero_jax.tasks.entailment import Entailment
from hero_jax.tasks.source import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Violin(judging.Judging):
    """Statements and their contraries."""

    dataset: str = "violin"
    """The corpus' name."""
    steps: int = 6_000
    """Updates."""
    warmup_steps: int = 600
    """Updates over which the learning rate rises."""
    learning_rate: float = 3e-5
    """The peak, after the warm-up."""
    head_multiplier: float = 8.0
    """Learning rate of the head relative to the encoder's (official lr_mul)."""
    is_paired: bool = True
    """Train on every statement beside its contrary (HERO); else alone (VALUE)."""
    is_answer_head: bool = False
    """Judge with the head of questions, as VALUE's models do."""

    def task(self, source: Source) -> Entailment:
        return Entailment(
            source=source,
            batch_size=self.reference_gpus * self.batch_size,
            is_paired=self.is_paired,
            is_answer_head=self.is_answer_head,
        )


if __name__ == "__main__":
    judging.main(Violin, __doc__)
