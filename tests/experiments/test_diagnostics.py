"""Planted models: what is known of their languages is what is measured."""

import types

import numpy as np
import pytest

from experiments.crosslingual.diagnostics import diagnose
from hero_jax.retrieval.index import build_index
from hero_jax.tasks.language_matrix import Asked
from hero_jax.tasks.source import QueryText

NUM_VIDEOS, WIDTH = 40, 24


class Planted:
    """A language matrix whose texts are `content` moved by `apart` in language zh."""

    examples = types.SimpleNamespace(languages=("en", "zh"))
    readings: tuple[str, ...] = ("en", "zh", "none")

    def __init__(self, apart: float, *, is_shuffled: bool = False):
        rng = np.random.default_rng(0)
        self.content = rng.standard_normal((NUM_VIDEOS, WIDTH)).astype(np.float32)
        self.way = apart * np.eye(WIDTH, dtype=np.float32)[0]
        self.order = rng.permutation(NUM_VIDEOS) if is_shuffled else np.arange(40)

    def _in(self, language):
        if language == "en":
            return self.content - self.way
        return self.content[self.order] + self.way

    def ask(self, language):
        queries = [QueryText(str(i), "v", {}, (0, 0)) for i in range(NUM_VIDEOS)]
        if language == "zh":
            queries = queries[:-1]  # one is missing
        vectors = self._in(language)[: len(queries)]
        return Asked(tuple(queries), vectors, np.arange(len(queries)), ())

    def index(self, subtitles):
        frames = [vector[None] for vector in self._in(subtitles)]
        names = [str(i) for i in range(NUM_VIDEOS)]
        return build_index(names, frames, [1.0] * NUM_VIDEOS, fingerprint=subtitles)


def test_one_space_for_both_languages():
    found = diagnose(Planted(apart=0.0))
    vectors = found["vectors"]["en-zh"]
    assert vectors["alignment"]["true"]["forward_P@1"] == 1
    assert vectors["alignment"]["shuffled"]["forward_P@1"] < 0.2
    assert vectors["geometry"]["cka"] == pytest.approx(1)
    assert vectors["probe"]["accuracy"] < 0.65
    for read in ("en", "zh"):
        assert found["lists"]["en-zh"][read]["same_top1"] == 1
    assert abs(found["mixed"]["en-zh"]["bias"]) < 0.05


def test_two_spaces_apart_prefer_their_own_language():
    found = diagnose(Planted(apart=8.0))
    assert found["vectors"]["en-zh"]["probe"]["accuracy"] == 1
    assert found["mixed"]["en-zh"]["bias"] > 0.4
    assert found["mixed"]["en-zh"]["expected"] == pytest.approx(0.5, abs=0.01)


def test_what_nobody_says_is_read_in_no_language():
    matrix = Planted(apart=0.0)
    matrix.readings = ("en", "none")
    found = diagnose(matrix)
    assert set(found["lists"]["en-zh"]) == {"en"}
    assert found["mixed"] == {}
    assert found["vectors"]["en-zh"]["alignment"]["true"]["forward_P@1"] == 1


def test_unrelated_languages_agree_by_chance_alone():
    found = diagnose(Planted(apart=0.0, is_shuffled=True))
    assert found["vectors"]["en-zh"]["alignment"]["true"]["forward_P@1"] < 0.2
    assert found["lists"]["en-zh"]["en"]["same_top1"] < 0.2
