"""TVQA: five answers to a question about a TV show, one of them right.

    python -m data_pipelines.build tvqa --data_dir RELEASE --features DIR --out OUT
    python -m experiments.tvqa --run_dir runs/tvqa --data_dir OUT --tokenizer BPE

The defaults are the official recipe: 8 x 4 questions in a batch, two batches an update,
AdamW at 5e-5 (the head at ten times that), 10,000 updates, 1,000 of warm-up, the moment
at 0.4 beside the answer. Published: 74.24 % with pre-training. The files to hand in
stand in `<run_dir>/tvqa/predictions`. On a CPU, on the corpus of the quickstart:

    python -m experiments.tvqa --run_dir runs/tvqa_microtv --dataset microtv \
        --data_dir runs/quickstart/dataset --model small --width 64 --reference_gpus 1 \
        --batch_size 16 --accumulation 1 --steps 400 --warmup_steps 40 \
        --learning_rate 1.5e-3 --head_multiplier 1 --split test

There 728 questions teach a model that begins with nothing where their moments are (the
span loss halves in 300 updates), and not yet the answers: expect chance, 20 %.
"""

import dataclasses

from experiments import judging
from hero_jax.losses.answer import AnswerLoss
from hero_jax.tasks.question_answering import QuestionAnswering
from hero_jax.tasks.source import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tvqa(judging.Judging):
    """Questions about TV shows."""

    dataset: str = "tvqa"
    """The corpus' name."""
    steps: int = 10_000
    """Updates."""
    warmup_steps: int = 1_000
    """Updates over which the learning rate rises."""
    span_weight: float = 0.4
    """How much the moment counts beside the answer (official lw_st_ed)."""

    def task(self, source: Source) -> QuestionAnswering:
        return QuestionAnswering(
            source=source,
            batch_size=self.reference_gpus * self.batch_size,
            objective=AnswerLoss(self.span_weight),
        )


if __name__ == "__main__":
    judging.main(Tvqa, __doc__)
