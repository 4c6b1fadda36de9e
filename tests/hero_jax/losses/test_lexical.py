import numpy as np
import pytest

from hero_jax.losses.lexical import Lexical
from hero_jax.losses.triplet_max import TripletMax
from tests.hero_jax.losses.score_cases import ONE_EACH, called, own_blocks, random_case


def test_a_worked_example():
    total, terms = called(Lexical(), ONE_EACH, *own_blocks(3, 3))
    # max(0, .4 + .45 - .5), max(0, .4 + .2 - .6), max(0, .4 + .7 - .4): rows alone.
    assert total == pytest.approx((0.35 + 0 + 0.7) / 3)
    assert set(terms) == {"context"}


def test_both_ways_it_is_the_hardest_hinge():
    case = random_case()
    both, _ = called(Lexical(margin=0.2, is_one_way=False), *case)
    np.testing.assert_allclose(both, called(TripletMax(), *case)[0], rtol=1e-6)
    one, _ = called(Lexical(margin=0.2), *case)
    np.testing.assert_allclose(one, called(TripletMax(), *case)[1]["context"])
