"""What a language needs to turn facts into sentences; english, chinese and korean do.

A wording is a format string. `{topic}` asks for the word of a fact, `{quality:a}` for
one of its forms or with what grammar hangs on it: an article, a classifier, a particle.
"""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from data_pipelines.microtv.facts import Facts

Words = Mapping[str, Mapping[str, tuple[str, ...]]]
"""field -> value -> synonyms; the forms of a word are joined by |."""


@dataclasses.dataclass(frozen=True)
class Wordings:
    """Ways to say one kind of sentence; the test split has ways of its own."""

    usual: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Grammar:
    """One language of the corpus."""

    code: str
    words: Words
    inflect: Callable[[str, str], str]
    """(word with its forms, what the wording asks for) -> the word as it is written."""
    wordings: Mapping[str, Wordings]
    """kind of sentence -> how it is said."""
    finish: Callable[[str], str] = lambda sentence: sentence
    """The last touch to a whole sentence."""

    def say(
        self, kind: str, facts: Facts, rng: np.random.Generator, *, held_out: bool
    ) -> str:
        """A sentence of that kind about `facts`, in one of the ways to say it."""
        ways = self.wordings[kind]
        wording = _choice(ways.held_out if held_out else ways.usual, rng)
        slots = {
            field: _Slot(_choice(self.words[field][value], rng), self.inflect)
            for field, value in facts.items()
        }
        return self.finish(wording.format(**slots))


@dataclasses.dataclass(frozen=True)
class _Slot:
    word: str
    inflect: Callable[[str, str], str]

    def __format__(self, wanted: str) -> str:
        return self.inflect(self.word, wanted)


def _choice(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]
