"""DiDeMo from frames alone: the moment in a corpus of personal videos.

    python -m data_pipelines.build didemo --data_dir RELEASE --features DIR --out OUT
    python -m experiments.didemo_video --run_dir runs/didemo_video --data_dir OUT \
        --tokenizer BPE --start hero-tv-ht100.pt

The official recipe without subtitles, elsewhere as `experiments/didemo.py`: 4 x 32
queries in a batch, one batch an update, AdamW at 7e-5, videos of at most 20 frames,
moments of 4 to 6.
"""

import dataclasses
from typing import Literal

from experiments import judging
from experiments.didemo import Didemo
from hero_jax.retrieval.spans import SpanRules


@dataclasses.dataclass(frozen=True, kw_only=True)
class DidemoVideo(Didemo):
    """Moments of personal videos that nobody speaks in."""

    channels: Literal["both", "video"] = "video"
    """What is read of a video: frames and subtitles, or frames alone."""
    reference_gpus: int = 4
    """GPUs of the recipe: a batch has as many times `batch_size` examples."""
    accumulation: int = 1
    """Batches whose gradients are summed for one update."""
    learning_rate: float = 7e-5
    """The peak, after the warm-up."""
    max_frames: int = 20
    """Longer videos are cut to so many frames."""
    rules: SpanRules = SpanRules(min_frames=3, max_frames=6)
    """How moments are chosen when the corpus is searched."""

    @property
    def name(self) -> str:
        return "didemo_video"


if __name__ == "__main__":
    judging.main(DidemoVideo, __doc__)
