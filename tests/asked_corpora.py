"""Made-up corpora in memory with questions and statements about their videos."""

import dataclasses
import functools

import numpy as np

from data_pipelines.schema import Corpus, Question, Statement
from hero_jax.tasks.source import Examples
from tests.corpora import WORDS, MemorySource, corpus


@dataclasses.dataclass(frozen=True)
class AskedSource(MemorySource):
    """Two questions and two pairs of statements a video, in two languages."""

    num_answers: int = 3
    is_about_events: bool = False
    """Answers without a question, as in VLEP."""
    is_test: bool = False
    """Nothing is known about what is right."""

    def open(self, split: str) -> Examples:
        return _examples(self, split)


@functools.lru_cache(maxsize=8)
def _examples(source: AskedSource, split: str) -> Examples:
    return Examples(source, asked_corpus(source, split))


def asked_corpus(source: AskedSource, split: str) -> Corpus:
    plain, rng = corpus(source, split), np.random.default_rng(9)
    questions = [q for v in plain.videos for q in _questions(source, v, rng)]
    statements = [s for v in plain.videos for s in _statements(source, v, rng)]
    return dataclasses.replace(plain, questions=questions, statements=statements)


def _questions(source, video, rng):
    for i in range(2):
        start = float(rng.uniform(0, video.duration - 5))
        label = int(rng.integers(source.num_answers))
        yield Question(
            f"{video.video_id}-q{i}",
            video.video_id,
            {} if source.is_about_events else _texts(4 + 3 * i, rng),
            tuple(_texts(3, rng) for _ in range(source.num_answers)),
            None if source.is_test else label,
            (start, start + 4.0) if i else None,
        )


def _statements(source, video, rng):
    for pair in range(2):
        for truth in (0, 1):
            name = f"{video.video_id}-s{pair}-{{}}"
            yield Statement(
                name.format(truth),
                video.video_id,
                _texts(5 + truth, rng),
                None if source.is_test else bool(truth),
                name.format(1 - truth),
            )


def _texts(num_words, rng):
    joint = {"en": " ", "zh": ""}
    return {
        code: joint[code].join(rng.choice(WORDS[code], num_words)) for code in WORDS
    }
