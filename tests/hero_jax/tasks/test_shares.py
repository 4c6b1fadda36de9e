import numpy as np
import pytest

from hero_jax.tasks import shares


@pytest.mark.parametrize("size", [1, 2, 3, 32, 128, 377])
@pytest.mark.parametrize("start", [0.0, 0.3141, 0.999])
def test_a_block_holds_every_share_once(size, start):
    found = np.sort(shares.shares(start, size))
    assert found[0] >= 0 and found[-1] < 1
    np.testing.assert_allclose(np.diff(found), 1 / size, atol=1e-12)


def test_a_stretch_of_a_block_is_divided_evenly_too():
    found = np.array(shares.shares(0.25, 128))
    for first in range(0, 128, 16):
        thirds, _ = np.histogram(found[first : first + 16], 3, (0, 1))
        assert thirds.min() >= 4 and thirds.max() <= 7


def test_every_option_is_drawn_equally_often_whether_or_not_something_happens():
    drawn = []
    for share in shares.shares(0.1, 600):
        happens, rest = shares.happens(share, 0.15)
        drawn.append((happens, shares.one_of("abc", rest)))
    count = lambda happens, letter: drawn.count((happens, letter))
    for letter in "abc":
        assert count(True, letter) == pytest.approx(30, abs=1)
        assert count(False, letter) == pytest.approx(170, abs=1)


@pytest.mark.parametrize(("rate", "expected"), [(0.0, False), (1.0, True)])
def test_what_never_or_always_happens_leaves_the_share(rate, expected):
    for share in (0.0, 0.5, float(np.nextafter(1, 0))):
        assert shares.happens(share, rate) == (expected, share)


def test_the_last_share_is_the_last_option():
    assert shares.one_of("abc", float(np.nextafter(1, 0))) == "c"
    assert shares.one_of("abc", 1.0) == "c"
