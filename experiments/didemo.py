"""DiDeMo: the moment in a corpus of personal videos that a query describes.

    python -m data_pipelines.build didemo --data_dir RELEASE --features DIR --out OUT
    python -m experiments.didemo --run_dir runs/didemo --data_dir OUT --tokenizer BPE \
        --start hero-tv-ht100.pt

The official recipe with subtitles: 8 x 32 queries in a batch, two batches an update,
AdamW at 1e-4, 5,000 updates, 500 of warm-up, ranking weights of 10, hard negatives from
update 2,000 among 80; moments of 3 to 16 frames, no NMS. Where four people marked a
query's moment, an answer is right if two of them agree with it.
`experiments/didemo_video.py` reads frames alone.
"""

import dataclasses

from experiments import judging
from experiments.retrieving import Retrieving
from hero_jax.losses.ranking import VSM
from hero_jax.retrieval.spans import SpanRules

RANKING = VSM(
    context_weight=10.0, query_weight=10.0, hard_start_step=2_000, hard_pool_size=80
)
"""Also that of MSR-VTT, YC2R and VATEX-EN-R."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Didemo(Retrieving):
    """Moments of personal videos."""

    dataset: str = "didemo"
    """The corpus' name."""
    ranking: VSM = RANKING
    """Ranks videos; `reference_gpus` is that of the recipe."""
    rules: SpanRules = SpanRules(min_frames=2, max_frames=16)
    """How moments are chosen when the corpus is searched."""


if __name__ == "__main__":
    judging.main(Didemo, __doc__)
