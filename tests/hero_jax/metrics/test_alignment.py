import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.metrics.alignment import (
    alignment,
    cka,
    csls,
    derangement,
    effective_rank,
    geometry,
    search,
)
from hero_jax.metrics.language_probe import language_probe


def test_search_among_translations_by_hand():
    similarity = np.array([[0.9, 0.1, 0.2], [0.5, 0.5, 0.1], [0.7, 0.8, 0.6]])
    found = search(similarity)  # ranks 1, 2 (a tie counts against), 3
    assert found == {
        "P@1": pytest.approx(1 / 3),
        "MRR": pytest.approx((1 + 1 / 2 + 1 / 3) / 3),
    }


def test_csls_by_hand_takes_the_hub_away():
    similarity = np.array([[0.8, 0.9], [0.1, 0.9]])  # column 1 is near to everything
    # Nearest: rows .9 .9, columns .8 .9.
    expected = [[1.6 - 0.9 - 0.8, 0.0], [0.2 - 1.7, 0.0]]
    np.testing.assert_allclose(csls(similarity, k=1), expected, atol=1e-12)
    assert search(similarity)["P@1"] == 0.5


def test_shuffled_pairs_are_the_control():
    """All vectors alike: cosines are high, and shuffling loses nothing."""
    rng = np.random.default_rng(0)
    common = np.array([10.0, 0, 0, 0])
    one, other = common + 0.01 * rng.standard_normal((2, 200, 4))
    found = alignment(one, other)
    assert found["true"]["cosine"] > 0.999
    assert found["true"]["cosine_above_shuffled"] == pytest.approx(0, abs=1e-4)
    assert found["true"]["forward_P@1"] < 0.05


def test_translations_that_meet_are_found_both_ways():
    rng = np.random.default_rng(1)
    one = rng.standard_normal((100, 16))
    found = alignment(one, 3 * one + 0.1 * rng.standard_normal((100, 16)))
    for way in ("forward", "backward", "forward_csls", "backward_csls"):
        assert found["true"][f"{way}_P@1"] == 1
        assert found["shuffled"][f"{way}_P@1"] < 0.05
    assert found["true"]["cosine_above_shuffled"] > 0.9


def test_cka_ignores_turning_and_scaling():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 6))
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert cka(x, 2 * x @ turn + 5) == pytest.approx(1)
    assert cka(rng.standard_normal((2000, 6)), rng.standard_normal((2000, 6))) < 0.02
    assert np.isnan(cka(np.ones((4, 2)), x[:4]))


def test_the_effective_rank_of_equal_directions_is_their_number():
    basis = np.concatenate([np.eye(5), -np.eye(5)])
    assert effective_rank(basis) == pytest.approx(5)
    line = np.outer(np.arange(6.0), [1, 2, 3])
    assert effective_rank(line) == pytest.approx(1)
    assert np.isnan(effective_rank(np.ones((3, 2))))


def test_isotropy_is_seen_in_random_pairs():
    rng = np.random.default_rng(3)
    even = rng.standard_normal((2, 1000, 8))
    assert geometry(*even)["random_cosine"] == pytest.approx(0, abs=0.05)
    assert geometry(*(even + 20))["random_cosine"] > 0.99


@pytest.mark.parametrize("size", [2, 3, 50])
def test_nothing_stays_in_its_place(size):
    order = derangement(size, np.random.default_rng(4))
    assert sorted(order) == list(range(size))
    assert np.all(order != np.arange(size))


def test_one_pair_cannot_be_shuffled():
    with pytest.raises(ValueError, match="at least 2"):
        derangement(1, np.random.default_rng(0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_differs_by_rounding_alone_is_a_tie(dtype):
    """Every text twice: of two equal columns the own one cannot be first."""
    rng = np.random.default_rng(5)
    one = np.repeat(rng.standard_normal((150, 48)), 2, axis=0).astype(dtype)
    other = np.repeat(rng.standard_normal((150, 48)), 2, axis=0).astype(dtype)
    for name, value in alignment(one, one + 0.1 * other)["true"].items():
        if name.endswith("P@1"):
            assert value == 0
        if name.endswith("MRR"):
            assert value == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_texts_that_are_all_alike_have_no_geometry(dtype):
    alike = np.full((37, 6), 0.1, dtype) + np.arange(6, dtype=dtype) / 7
    other = np.random.default_rng(6).standard_normal((37, 6)).astype(dtype)
    found = geometry(alike, 3 * alike)
    assert np.isnan(found["cka"]) and found["random_cosine"] == pytest.approx(1)
    assert np.isnan(cka(alike, other)) and np.isnan(effective_rank(alike))


def test_narrow_vectors_are_measured_as_wide_ones():
    rng = np.random.default_rng(7)
    narrow = [
        (rng.standard_normal((3000, 16)) + 1).astype(jnp.bfloat16) for _ in range(2)
    ]
    wide = [x.astype(np.float32) for x in narrow]
    assert geometry(*narrow) == pytest.approx(geometry(*wide))
    assert alignment(*narrow) == {
        kind: pytest.approx(of) for kind, of in alignment(*wide).items()
    }
    language, text = np.divmod(np.arange(6000), 3000)
    probes = [language_probe(np.concatenate(x), language, text) for x in (narrow, wide)]
    assert probes[0] == pytest.approx(probes[1])
