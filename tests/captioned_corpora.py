"""Made-up corpora in memory with captions of their moments."""

import dataclasses
import functools

import numpy as np

from data_pipelines.schema import Caption, CaptionedMoment, Corpus
from hero_jax.tasks.source import Examples
from tests.corpora import WORDS, MemorySource, corpus


@dataclasses.dataclass(frozen=True)
class CaptionedSource(MemorySource):
    """Two moments a video, or the whole one, with two captions in two languages."""

    is_whole: bool = False
    """Captions are of whole videos, as in VATEX-C."""
    is_test: bool = False
    """The captions are not published."""

    def open(self, split: str) -> Examples:
        return _examples(self, split)


@functools.lru_cache(maxsize=8)
def _examples(source: CaptionedSource, split: str) -> Examples:
    return Examples(source, captioned_corpus(source, split))


def captioned_corpus(source: CaptionedSource, split: str) -> Corpus:
    plain, rng = corpus(source, split), np.random.default_rng(4)
    captions = [m for v in plain.videos for m in _moments(source, v, rng)]
    return dataclasses.replace(plain, captions=captions)


def _moments(source, video, rng):
    for i in range(1 if source.is_whole else 2):
        start = float(rng.uniform(0, video.duration - 5))
        name = f"{video.video_id}-m{i}"
        yield CaptionedMoment(
            name,
            video.video_id,
            None if source.is_whole else (start, start + 4.0),
            () if source.is_test else tuple(_captions(name, rng)),
        )


def _captions(name, rng):
    joint = {"en": " ", "zh": ""}
    for k in range(2):
        texts = {
            code: joint[code].join(rng.choice(WORDS[code], 3 + 2 * k)) for code in WORDS
        }
        yield Caption(f"{name}-c{k}", texts, "v")
