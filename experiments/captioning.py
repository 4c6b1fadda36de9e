"""What TVC, YC2C and VATEX-C share: the decoder, the captions, the table of scores.

Each of the three is a module of its own with its official recipe (D.8) as defaults. The
run itself, and most options, are those of `judging.py`.
"""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

from data_pipelines.schema import Corpus
from experiments import judging
from hero_jax.model.hero import HeroConfig
from hero_jax.tasks.captioner import Writing
from hero_jax.tasks.captioning import Captioning
from hero_jax.tasks.source import Source

NUM_LAYERS = 2
"""Of the decoder (A.2, d_config)."""
SHOWN = ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Describing(judging.Judging):
    """The options of the three experiments; their defaults are official (D.8)."""

    COUNTS: ClassVar[tuple[str, ...]] = (*judging.Judging.COUNTS, "num_beams")

    batch_size: int
    """Videos with all their captions, or captions, in a batch of one reference GPU."""
    accumulation: int = 1
    """Batches whose gradients are summed for one update."""
    steps: int = 7_000
    """Updates."""
    warmup_steps: int = 700
    """Updates over which the learning rate rises."""
    learning_rate: float = 1e-4
    """The peak, after the warm-up."""
    num_beams: int = 1
    """Captions kept side by side when writing; 1 writes greedily, as officially."""

    def captioning(self, source: Source) -> Captioning:
        """The task with what the three have in common."""
        return Captioning(
            source=source,
            batch_size=self.reference_gpus * self.batch_size,
            writing=Writing(num_beams=self.num_beams),
        )

    def task(self, source: Source) -> Captioning:
        return self.captioning(source)

    def check_corpus(self, source: Source) -> None:
        super().check_corpus(source)
        source.load_tokenizer().decode([])  # ids of converted texts tell no words

    def texts(self, corpus: Corpus) -> Iterator[str]:
        for moment in corpus.captions:
            for caption in moment.captions:
                yield from caption.texts.values()

    def sized(self, source: Source) -> HeroConfig:
        model = super().sized(source)
        decoder = dataclasses.replace(model.cross_modal, num_layers=NUM_LAYERS)
        return dataclasses.replace(
            model,
            decoder=decoder,
            num_caption_languages=len(source.used_languages),
        )

    def table(self, results: judging.Results) -> Iterator[str]:
        yield f"{'captions':>8} {'subtitles':>9}" + "".join(f"{n:>9}" for n in SHOWN)
        for language, row in results.items():
            for subtitles, cell in row.items():
                numbers = (cell.get(name) for name in SHOWN)
                shown = ("        -" if n is None else f"{n:9.2f}" for n in numbers)
                yield f"{language:>8} {subtitles:>9}" + "".join(shown)
