"""Texts that change language by the word, by a dictionary of the training texts.

    who takes the red cup   ->   who takes the 红 杯子

Code-switching (Qin et al. 2020) shows a model trained on one language the words of
another where their translations stand. The dictionary is learnt from the parallel texts
of the training split, on the tokenizer's pieces; a piece without an entry stays.
"""

import functools
from collections.abc import Mapping

import numpy as np

from data_pipelines import dictionary
from data_pipelines.readers.errors import wrong
from hero_jax.tasks.source import Source


def switched(
    source: Source,
    tokens: np.ndarray,
    language: str,
    rate: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """A text [T] with each piece that has a translation replaced by it, with `rate`.

    The other language is drawn once a text. Raises InputError for a corpus that has no
    parallel texts to learn a dictionary from.
    """
    others = [code for code in source.open("train").languages if code != language]
    other = others[rng.integers(len(others))]
    return dictionary.switched(tokens, _entries(source, language, other), rate, rng)


@functools.lru_cache(maxsize=16)
def _entries(source: Source, language: str, other: str) -> Mapping[int, int]:
    """Piece of the one language -> its translation in the other."""
    pairs = [
        (texts[language], texts[other])
        for texts in source.open("train").parallel
        if language in texts and other in texts
    ]
    if not pairs:
        problem = f"has no parallel texts in {language} and {other}"
        remedy = "code-switching learns its dictionary from them: leave it out"
        raise wrong(source.directory / source.dataset, "train", problem, remedy)
    return dictionary.learn(pairs)
