"""Statistics by hand, then on data whose truth is known: clustered, tied ranks of two
arms, many of them infinite, from seeds that differ more or less."""

import numpy as np
import pytest
from scipy import stats

from hero_jax.metrics import significance
from hero_jax.metrics.significance import (
    benjamini_hochberg,
    bootstrap_interval,
    comparison,
    holm,
    log_ratio,
    minimal_detectable,
    planned,
    planned_recall_error,
    seed_flip,
    sign_flip,
    table,
    tost,
    two_way,
)

SMALL = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 7.0]])


def test_queries_of_a_video_are_averaged():
    values = np.array([[1.0, 3.0, 5.0, 7.0], [0.0, 0.0, 1.0, 0.0]])
    d = table(values, np.array([7, 7, 2, 2]))
    np.testing.assert_allclose(d, [[6, 2], [0.5, 0]])


def test_a_video_counts_by_its_number_of_queries():
    values = np.array([[1.0, 2.0, 6.0]])
    d = table(values, np.array([0, 0, 1]))
    assert d.mean() == pytest.approx(3)
    # Influences: 3 + ((1 + 2) - 3 * 2) / 1.5 and 3 + (6 - 3) / 1.5.
    np.testing.assert_allclose(d, [[1, 5]])


def test_two_way_analysis_by_hand():
    """Of 22, seeds explain 6 (1 degree of freedom), videos 12 (2); 4 are left (2)."""
    parts = significance.components(SMALL)
    np.testing.assert_allclose([parts.seeds, parts.videos, parts.rest], [6, 6, 2])
    whole = two_way(SMALL)
    assert whole.estimate == 3
    assert whole.se == pytest.approx(np.sqrt((6 + 6 - 2) / 6))
    assert whole.df == pytest.approx(10**2 / (6**2 / 1 + 6**2 / 2 + 2**2 / 2))


def test_one_seed_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    d = rng.standard_normal((1, 20)) + 0.3
    expected = stats.ttest_1samp(d[0], 0)
    assert two_way(d).p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    np.testing.assert_allclose(two_way(d).interval(), interval, rtol=1e-6)


def test_many_tables_are_as_one_by_one():
    rng = np.random.default_rng(1)
    d = rng.standard_normal((3, 4, 15))
    for many, one in (
        (two_way(d).p_value, [two_way(x).p_value for x in d]),
        (
            bootstrap_interval(d, num_draws=700)[0],
            [bootstrap_interval(x, num_draws=700)[0] for x in d],
        ),
        (sign_flip(d, num_draws=700), [sign_flip(x, num_draws=700) for x in d]),
    ):
        np.testing.assert_allclose(many, one)


def test_no_difference_at_all_is_no_finding():
    zeros = np.zeros((6, 10))
    found = comparison(zeros, num_draws=100)
    assert found["p"] == found["p_models"] == found["p_seeds"] == 1
    assert found["low"] == found["estimate"] == found["high"] == 0
    assert minimal_detectable(found["se"]) == 0
    assert tost(zeros, 0.01) == 0


def test_plain_sign_flips_are_all_patterns_in_the_end():
    d = np.array([[1.0, 2.0, 4.0]])
    # Of eight patterns, +++ and --- reach the observed sum.
    p = sign_flip(d, seeds="fixed", num_draws=8000)
    assert p == pytest.approx(2 / 8, abs=0.02)


def test_six_seeds_cannot_do_better_than_one_in_thirty_two():
    assert seed_flip(np.arange(1.0, 7)[:, None] * np.ones(3)) == 2 / 64
    assert seed_flip(np.array([[1.0], [-1], [1], [-1]])) == 1


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])


def test_benjamini_and_hochberg_by_hand():
    adjusted = benjamini_hochberg([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(adjusted, [0.02, 0.04, 0.04, 0.02])


@pytest.mark.parametrize("margin", [0.05, 0.3, 1.0])
def test_equivalence_is_the_ninety_percent_interval_within_the_margin(margin):
    d = np.random.default_rng(2).standard_normal((6, 40)) / 3
    low, high = two_way(d).interval(0.90)
    assert (tost(d, margin) < 0.05) == (-margin < low and high < margin)


def test_a_ratio_is_judged_by_its_influences():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 1, (2, 60, 400))
    d = log_ratio(x, y)
    assert d.mean() == pytest.approx(np.log(x.mean() / y.mean()))
    parts = np.array([log_ratio(x[:, i::20], y[:, i::20]).mean() for i in range(20)])
    assert two_way(d).se == pytest.approx(parts.std(ddof=1) / np.sqrt(20), rel=0.5)
    with pytest.raises(ValueError, match="report the plain difference"):
        log_ratio(x, 0 * y)


@pytest.mark.parametrize(
    ("videos", "base", "points"),
    [(300, 0.02, 1.3), (379, 0.05, 1.8), (1000, 0.10, 1.5), (2179, 0.40, 1.7)],
)
def test_the_planning_table_is_reproduced(videos, base, points):
    """Minimal detectable R@1 with 80 % power (crosslingual.md, 3.7)."""
    se = planned_recall_error(base, videos)
    assert 100 * minimal_detectable(se) == pytest.approx(points, abs=0.05)


def test_few_seeds_make_a_difference_harder_to_see():
    # (1.96 + .84) normally; noncentral t with 5 degrees of freedom asks for more.
    assert minimal_detectable(1.0) == pytest.approx(2.8016, abs=1e-3)
    assert 3.3 < minimal_detectable(1.0, df=5) < 3.6
    for df in np.linspace(1, 400, 50):  # wherever Satterthwaite puts it
        assert 2.8 < minimal_detectable(1.0, df=df) < 20
    assert minimal_detectable(1.0, df=1, power=0.95) > 20


def test_a_larger_experiment_is_foreseen_from_a_pilot():
    simulated = lambda *size: simulate(np.random.default_rng(4), *size, sd_seed=0.3)
    pilots, larger = simulated(200, 4, 60), simulated(200, 8, 240)
    seen = [float(planned(d, num_seeds=8, num_videos=240).se) for d in pilots]
    assert np.mean(seen) == pytest.approx(larger.mean(axis=(1, 2)).std(), rel=0.15)


def simulate(
    rng,
    repetitions,
    num_seeds,
    num_videos,
    *,
    effect=0.0,
    sd_seed=0.0,
    sd_video=0.3,
    num_queries=2,
    num_arms=2,
):
    """Tables of reciprocal ranks of the last arm less those of the first.

    Videos are easy or hard; ranks tie at 1; beyond 300 nothing is found at all (0). An
    arm has its own luck with each seed, with each video, and with both.
    """
    hardness = rng.normal(-1.5, 1.5, (repetitions, 1, num_videos, 1))
    hardness = hardness + rng.normal(0, 0.7, (repetitions, 1, num_videos, num_queries))

    def reciprocal_ranks(effect):
        shape = (repetitions, num_seeds, num_videos)
        ease = hardness + effect
        ease = ease + sd_seed * rng.standard_normal((repetitions, num_seeds, 1, 1))
        ease = ease + sd_video * rng.standard_normal((repetitions, 1, num_videos, 1))
        ease = ease + 0.4 * rng.standard_normal((*shape, 1))
        ease = ease + 0.5 * rng.standard_normal((*shape, num_queries))
        ranks = np.floor(np.exp(np.clip(-2 * ease, 0, 7)))
        return np.where(ranks > 300, 0, 1 / ranks)

    values = reciprocal_ranks(effect) - reciprocal_ranks(0.0)
    flat = values.reshape(repetitions, num_seeds, -1)
    return table(flat, np.repeat(np.arange(num_videos), num_queries))


def simulate_hits(rng, repetitions, num_seeds, num_videos, *, rate):
    """Tables of R@1 of one arm less that of an equal one: few videos are ever found."""
    hard = rng.random((repetitions, 1, num_videos)) > 4 * rate
    shape = (repetitions, num_seeds, num_videos)
    found = [(rng.random(shape) < 0.25) & ~hard for _ in range(2)]
    return found[0].astype(float) - found[1]


@pytest.mark.parametrize(("num_seeds", "count"), [(6, 3), (6, 4), (3, 4), (1, 3)])
def test_few_videos_that_differ_are_no_finding(num_seeds, count):
    """All of one sign: 2 of 2^count patterns of signs are as far out."""
    d = np.zeros((num_seeds, 340))
    d[:, :count] = 1
    found = comparison(d, num_draws=2000)
    assert found["p"] == pytest.approx(float(two_way(d).p_value)) and found["p"] > 0.04
    assert found["p_models"] == pytest.approx(2 / 2**count, abs=0.03)
    low, high = two_way(d).interval()
    assert found["low"] <= low and high <= found["high"]


@pytest.mark.parametrize("num_seeds", [3, 6])
@pytest.mark.parametrize("rate", [0.005, 0.02])
def test_rare_hits_are_not_found_more_often_than_they_may(num_seeds, rate):
    null = simulate_hits(np.random.default_rng(9), 400, num_seeds, 340, rate=rate)
    p = sign_flip(null, num_draws=300)
    assert np.mean(p <= 0.05) < 0.08 and np.mean(p <= 0.005) < 0.02
    low, high = bootstrap_interval(null, num_draws=300)
    assert np.mean((low <= 0) & (high >= 0)) > 0.93


SCENARIOS = {
    "seeds_alike": {},
    "seeds_differ_a_little": {"sd_seed": 0.1},
    "seeds_differ": {"sd_seed": 0.3},
    "only_seeds_differ": {"sd_seed": 0.5, "sd_video": 0.0},
    "nothing_in_common": {"sd_video": 0.0},
}


def rates(name, repetitions, num_videos, num_draws, num_seeds=6):
    """Coverage of the interval around a planted effect; findings where is none."""
    scenario, rng = SCENARIOS[name], np.random.default_rng(5)
    size = (repetitions, num_seeds, num_videos)
    planted = simulate(rng, *size, effect=0.25, **scenario)
    truth = simulate(rng, 400, 50, 60, effect=0.25, **scenario).mean()
    null = simulate(rng, *size, **scenario)
    low, high = bootstrap_interval(planted, num_draws=num_draws)
    low_null, high_null = bootstrap_interval(null, num_draws=num_draws, seed=1)
    return {
        "coverage": np.mean((low <= truth) & (truth <= high)),
        "null_coverage": np.mean((low_null <= 0) & (high_null >= 0)),
        "symmetric": np.mean(two_way(null).p_value < 0.05),
        "flips": np.mean(sign_flip(null, num_draws=num_draws) <= 0.05),
        "wrong_sign": np.mean(high < 0),
        "found": np.mean(low > 0),
        "bias": planted.mean() / truth - 1,
    }


@pytest.mark.parametrize("name", ["seeds_alike", "seeds_differ"])
def test_intervals_and_tests_are_about_right_in_short(name):
    found = rates(name, repetitions=300, num_videos=60, num_draws=400)
    assert 0.91 < found["coverage"] < 0.99
    assert 0.91 < found["null_coverage"] < 0.99
    assert found["symmetric"] < 0.09
    assert found["flips"] < 0.09
    assert found["wrong_sign"] < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("num_videos", [60, 300])
@pytest.mark.parametrize("name", SCENARIOS)
def test_coverage_and_false_positives_are_nominal(name, num_videos):
    """2,000 repetitions: binomial error .5 points."""
    found = rates(name, repetitions=2000, num_videos=num_videos, num_draws=1000)
    print(name, num_videos, {k: round(float(v), 4) for k, v in found.items()})
    assert 0.93 <= found["coverage"] <= 0.97
    assert 0.93 <= found["null_coverage"] <= 0.97
    assert 0.03 <= found["symmetric"] <= 0.07
    assert 0.03 <= found["flips"] <= 0.07
    assert found["wrong_sign"] <= 0.01
    assert abs(found["bias"]) < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_three_seeds_are_a_little_too_sure_where_seeds_differ(name):
    """Measured, as docs/objectives.md says: coverage .92 to .97, errors up to .075."""
    found = rates(name, repetitions=2000, num_videos=150, num_draws=500, num_seeds=3)
    print(name, {k: round(float(v), 4) for k, v in found.items()})
    assert 0.915 <= found["coverage"] <= 0.975
    assert 0.915 <= found["null_coverage"] <= 0.975
    assert 0.03 <= found["flips"] <= 0.08


@pytest.mark.slow
def test_a_main_effect_is_no_interaction():
    """(new - old) across languages less (new - old) within: nothing where both gain."""
    rng = np.random.default_rng(6)
    gains = [
        simulate(rng, 2000, 6, 150, effect=0.4, sd_seed=0.2) for _ in ("cross", "mono")
    ]
    assert np.mean(two_way(gains[0]).p_value < 0.05) > 0.5
    interaction = gains[0] - gains[1]
    assert 0.03 <= np.mean(sign_flip(interaction, num_draws=1000) <= 0.05) <= 0.07
    low, high = bootstrap_interval(interaction, num_draws=1000)
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97


@pytest.mark.slow
def test_why_seeds_have_to_be_reckoned_with():
    """The methods this module does not use find what is not there."""
    d = simulate(np.random.default_rng(7), 2000, 6, 150, sd_seed=0.3)
    fixed = sign_flip(d, seeds="fixed", num_draws=500)
    assert np.mean(fixed <= 0.05) > 0.15
    draws = significance._resampled_means(d, 500, np.random.default_rng(8))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    assert np.mean((low <= 0) & (high >= 0)) < 0.93
