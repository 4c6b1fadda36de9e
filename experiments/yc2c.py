"""YC2C: what is done in a segment of a cooking video, in a sentence.

    python -m data_pipelines.build yc2c --data_dir RELEASE --features DIR --out OUT
    python -m experiments.yc2c --run_dir runs/yc2c --data_dir OUT --tokenizer BPE

The recipe of TVC (`experiments/tvc.py`) with 8 x 16 captions in a batch: an example is
one caption and the whole of its video, which is a segment `<video>_<number>`. The table
scores segments ("micro", by which models are chosen); `results.json` has the mean over
videos and the scores of whole paragraphs as well. Without a dataset yc2c the experiment
reads the yc2r that `hero-jax convert-db` writes.
"""

import dataclasses
from typing import ClassVar

from experiments import captioning, judging
from hero_jax.errors import UserError
from hero_jax.metrics.captions import is_segment
from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.source import Source


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yc2c(captioning.Describing):
    """Captions of segments of cooking videos."""

    ALSO_IN: ClassVar[str] = "yc2r"
    """Officially what was asked in training is what was written (D.7)."""

    dataset: str = "yc2c"
    """The corpus' name."""
    batch_size: int = 16
    """Captions in a batch of one reference GPU."""

    def check_corpus(self, source: Source) -> None:
        super().check_corpus(source)
        for moment in source.open(self.split).corpus.captions:
            if moment.captions and not is_segment(moment.video_id):
                problem = "is not named <video>_<number>, as the segments that are "
                remedy = "for other videos there is experiments.vatex_c"
                raise UserError(
                    f"{source.directory / source.dataset}: {self.split}: "
                    f"{moment.video_id!r} {problem}scored here ({remedy})"
                )

    def task(self, source: Source) -> Captioning:
        shared = self.captioning(source)
        return dataclasses.replace(shared, is_by_caption=True, is_segmented=True)


if __name__ == "__main__":
    judging.main(Yc2c, __doc__)
