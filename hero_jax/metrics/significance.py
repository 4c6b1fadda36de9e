"""Whether one arm of an experiment beats another: intervals, tests, what can be seen.

A contrast is one number for each seed and query: reciprocal rank under one objective
less that under another, or a difference of such differences. Queries of one video are
alike, so they are averaged first; what remains is a table

             v0    v1    v2   ...      d = effect + a(seed) + b(video) + e(both)
    seed 0  +.1    0    -.3
    seed 1  +.2    0     0             seeds and videos are both drawn from many more

and a claim about other seeds and other videos has to bear the variance of both. With
six seeds a bootstrap of seeds and videos alone does not: its intervals are about
sqrt(5/6) too short where seeds differ, normal where six values ask for t, and three
times too wide in what is particular to a seed on a video (Owen 2007). So every method
here takes its width from the two-way analysis of variance

    se^2 = (MS_seeds + max(MS_videos - MS_rest, 0)) / (seeds x videos)

with t of Satterthwaite's degrees of freedom, and its shape, skewness included, from
resampling. Where few videos differ at all, as they do in R@1, resampling knows no more
than those few: an interval is never shorter than that t's, and p never smaller.
`tests/hero_jax/metrics/test_significance.py` measures coverage and errors.
"""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import optimize, stats

from hero_jax.types import Float, Int

DRAWS_AT_ONCE = 500


@dataclasses.dataclass(frozen=True)
class TwoWay:
    """Mean of a table and how far it may be off; arrays if there are several tables."""

    estimate: np.ndarray
    se: np.ndarray
    """Standard error for other seeds and other videos."""
    df: np.ndarray
    """Satterthwaite's degrees of freedom of `se`."""

    @property
    def t(self) -> np.ndarray:
        """The estimate in standard errors; 0 where nothing varies and nothing is."""
        at_once = np.where(self.estimate == 0, 0.0, np.copysign(np.inf, self.estimate))
        return np.divide(
            self.estimate, self.se, out=at_once, where=np.asarray(self.se) > 0
        )

    @property
    def p_value(self) -> np.ndarray:
        """Two-sided, of no difference."""
        return np.asarray(2 * stats.t.sf(np.abs(self.t), self.df))

    def interval(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Symmetric, without resampling."""
        reach = stats.t.ppf((1 + level) / 2, self.df) * self.se
        return self.estimate - reach, self.estimate + reach


@dataclasses.dataclass(frozen=True)
class Components:
    """Mean squares of a table."""

    seeds: np.ndarray
    videos: np.ndarray
    rest: np.ndarray
    """0 with one seed: then nothing is known about others."""


def table(
    values: Float[np.ndarray, "*N seeds Q"], videos: Int[np.ndarray, "Q"]
) -> Float[np.ndarray, "*N seeds videos"]:
    """A contrast by query as one by video whose plain mean is the mean over queries.

    Where videos have different numbers of queries the entries are influences: a video
    counts by its number of queries.
    """
    values = np.asarray(values, float)
    names, video, counts = np.unique(videos, return_inverse=True, return_counts=True)
    sums = np.zeros((*values.shape[:-1], len(names)))
    np.add.at(np.moveaxis(sums, -1, 0), video, np.moveaxis(values, -1, 0))
    mean = values.mean(axis=(-1, -2))[..., None, None]
    return mean + (sums - mean * counts) / counts.mean()


def log_ratio(
    upper: Float[np.ndarray, "*N seeds videos"],
    lower: Float[np.ndarray, "*N seeds videos"],
) -> Float[np.ndarray, "*N seeds videos"]:
    """A table whose mean is ln(mean upper / mean lower), for all that follows.

    Entries are influences (the delta method): x / mean x - y / mean y.
    """
    means = [np.mean(x, axis=(-1, -2), keepdims=True) for x in (upper, lower)]
    if any(np.any(mean <= 0) for mean in means):
        raise ValueError(
            f"log_ratio: means {[np.ravel(m).tolist() for m in means]}: expected both "
            "to be positive; report the plain difference"
        )
    return np.log(means[0] / means[1]) + upper / means[0] - lower / means[1]


def components(d: Float[np.ndarray, "*N seeds videos"]) -> Components:
    """Mean squares between seeds, between videos, and of what neither explains."""
    num_seeds, num_videos = d.shape[-2:]
    by_seed, by_video = d.mean(axis=-1), d.mean(axis=-2)
    between = num_seeds * by_video.var(axis=-1, ddof=1)
    if num_seeds == 1:
        return Components(np.zeros_like(between), between, np.zeros_like(between))
    mean = d.mean(axis=(-1, -2))[..., None, None]
    rest = d - by_seed[..., None] - by_video[..., None, :] + mean
    free = (num_seeds - 1) * (num_videos - 1)
    return Components(
        num_videos * by_seed.var(axis=-1, ddof=1),
        between,
        np.sum(rest**2, axis=(-1, -2)) / free,
    )


def two_way(d: Float[np.ndarray, "*N seeds videos"]) -> TwoWay:
    """Estimate, standard error and degrees of freedom of a table.

    The variance between videos is cut off at 0, that between seeds is not: it is known
    from few seeds, and cutting would widen the intervals of arms that seeds do not tell
    apart. Simulated, this pair errs least. With one seed the claim is about its models.
    """
    num_seeds, num_videos = d.shape[-2:]
    if num_videos < 2:
        raise ValueError(f"two_way: found {num_videos} videos, expected at least 2")
    parts = components(d)
    has_videos = parts.videos > parts.rest
    total = parts.seeds + np.where(has_videos, parts.videos - parts.rest, 0)
    free = np.array([num_videos - 1, max(num_seeds - 1, 1)])
    squares = parts.videos**2 / free[0] + parts.rest**2 / free.prod()
    squares = parts.seeds**2 / free[1] + np.where(has_videos, squares, 0)
    df = np.divide(total**2, squares, out=np.ones_like(total), where=squares > 0)
    se = np.sqrt(total / (num_seeds * num_videos))
    return TwoWay(d.mean(axis=(-1, -2)), se, np.maximum(df, 1.0))


def comparison(
    d: Float[np.ndarray, "seeds videos"],
    *,
    level: float = 0.95,
    num_draws: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """All that a table of results says of one contrast.

    "p" is of other seeds and other videos and goes into `holm`; "p_models" is of the
    trained models on other videos, "p_seeds" of other seeds on these videos.
    """
    whole = two_way(d)
    flip = functools.partial(sign_flip, d, num_draws=num_draws, seed=seed)
    low, high = bootstrap_interval(d, level=level, num_draws=num_draws, seed=seed)
    return {
        "estimate": float(whole.estimate),
        "low": float(low),
        "high": float(high),
        "se": float(whole.se),
        "df": float(whole.df),
        "p": float(flip()),
        "p_models": float(flip(seeds="fixed")),
        "p_seeds": seed_flip(d),
    }


def bootstrap_interval(
    d: Float[np.ndarray, "*N seeds videos"],
    *,
    level: float = 0.95,
    num_draws: int = 10_000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Hierarchical paired bootstrap: seeds and videos are drawn, all of theirs kept.

    A quantile of the draws, in their own standard deviations z, becomes the quantile of
    t that is as far out: estimate + se t(z), or the symmetric one where that is wider.
    Several tables share the draws.
    """
    whole = two_way(d)
    draws = _resampled_means(d, num_draws, np.random.default_rng(seed))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    spread = draws.std(axis=0)
    quantiles = np.quantile(draws, tails, axis=0) - whole.estimate
    z = np.divide(quantiles, spread, out=np.zeros_like(quantiles), where=spread > 0)
    low, high = whole.estimate + _as_t(z, whole.df) * whole.se
    shortest = whole.interval(level)
    return np.minimum(low, shortest[0]), np.maximum(high, shortest[1])


def sign_flip(
    d: Float[np.ndarray, "*N seeds videos"],
    *,
    seeds: Literal["random", "fixed"] = "random",
    num_draws: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Two-sided p of no difference: signs of the videos' mean differences are drawn.

    With `fixed` seeds this is the plain permutation test, about the models that were
    trained. It knows no variance between seeds and finds too much where there is some;
    with `random` seeds the observed mean counts by its two-way standard error instead,
    and p is at least that of its t: three videos that differ have eight patterns of
    signs, none of which reaches a t of three. p = (b + 1) / (draws + 1).
    """
    by_video = d.mean(axis=-2)
    observed = np.abs(by_video.mean(axis=-1))
    rng = np.random.default_rng(seed)
    scale = np.sqrt(np.mean(by_video**2, axis=-1) / by_video.shape[-1])
    least = np.zeros(observed.shape)
    if seeds == "random":
        whole = two_way(d)
        observed = scale * _as_z(np.abs(whole.t), whole.df)
        least = whole.p_value
    extreme = np.zeros(observed.shape)
    for count in _blocks(num_draws):
        signs = rng.choice([-1.0, 1.0], (count, by_video.shape[-1]))
        flipped = np.abs(np.einsum("...v,dv->d...", by_video, signs))
        flipped /= by_video.shape[-1]
        extreme += np.sum(flipped >= observed * (1 - 1e-12), axis=0)
    return np.maximum((extreme + 1) / (num_draws + 1), least)


def seed_flip(d: Float[np.ndarray, "seeds videos"]) -> float:
    """Exact two-sided p over all signs of the seeds' mean differences.

    About other seeds on the same videos; never below 2 / 2^seeds (six seeds: .031).
    """
    by_seed = d.mean(axis=-1)
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=len(by_seed))))
    means = np.abs(signs @ by_seed)
    return float(np.mean(means >= np.abs(by_seed.sum()) * (1 - 1e-12)))


def tost(d: Float[np.ndarray, "*N seeds videos"], margin: float) -> np.ndarray:
    """p of a difference of at least `margin` either way; small is equivalence.

    Below .05 exactly where the symmetric 90 % interval lies within the margin, which
    has to be fixed before looking.
    """
    whole = two_way(d)
    inside = np.asarray(margin - np.abs(whole.estimate))
    return np.asarray(
        stats.t.sf(dataclasses.replace(whole, estimate=inside).t, whole.df)
    )


def holm(p_values: Sequence[float]) -> Float[np.ndarray, "N"]:
    """Adjusted p of a confirmatory family: no false claim with 1 - alpha."""
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def benjamini_hochberg(p_values: Sequence[float]) -> Float[np.ndarray, "N"]:
    """Adjusted p of an exploratory family: the expected share of false claims."""
    return np.asarray(stats.false_discovery_control(np.asarray(p_values, float)))


def minimal_detectable(
    se: float, df: float = np.inf, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference that is found (two-sided) with this power."""
    if se == 0:
        return 0.0
    critical = stats.t.ppf(1 - alpha / 2, df)

    def missing(shift: float) -> float:
        if np.isinf(df):
            found = stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift)
        else:
            # Far out scipy's noncentral t is NaN: there nearly all is above critical.
            above = np.nan_to_num(stats.nct.sf(critical, df, shift), nan=1.0)
            below = np.nan_to_num(stats.nct.cdf(-critical, df, shift), nan=0.0)
            found = above + below
        return float(found) - power

    enough = critical + 10
    while missing(enough) < 0:  # one degree of freedom asks for far more than normal
        enough *= 2
    return se * float(optimize.brentq(missing, 0, enough))


def planned(
    d: Float[np.ndarray, "seeds videos"], *, num_seeds: int, num_videos: int
) -> TwoWay:
    """What `two_way` may expect of a larger experiment, from a pilot's components.

    Raises ValueError for fewer than two seeds or videos, of which nothing is expected.
    """
    if min(num_seeds, num_videos) < 2:
        raise ValueError(
            f"planned: found {num_seeds} seeds and {num_videos} videos, expected 2 or "
            "more of each"
        )
    size, parts = d.shape, components(d)
    of_seeds = max(float(parts.seeds - parts.rest), 0.0) / size[1]
    of_videos = max(float(parts.videos - parts.rest), 0.0) / size[0]
    seeds = float(parts.rest) + num_videos * of_seeds
    videos = float(parts.rest) + num_seeds * of_videos
    total = seeds + videos - float(parts.rest)
    squares = seeds**2 / (num_seeds - 1) + videos**2 / (num_videos - 1)
    squares += float(parts.rest) ** 2 / ((num_seeds - 1) * (num_videos - 1))
    df = total**2 / squares if squares > 0 else 1.0
    se = np.sqrt(total / (num_seeds * num_videos))
    return TwoWay(d.mean(), np.asarray(se), np.asarray(df))


def planned_recall_error(
    recall: float,
    num_videos: int,
    *,
    queries_per_video: int = 5,
    correlation: float = 0.15,
    discordance: float = 0.5,
) -> float:
    """Standard error of a difference of two recalls (0..1) near `recall`, one seed.

    `correlation` of the queries of a video; `discordance` is the share of the queries
    that only one arm finds, relative to the largest possible.
    """
    variance = discordance * 2 * recall * (1 - recall)
    inflation = 1 + (queries_per_video - 1) * correlation
    return float(np.sqrt(variance * inflation / (num_videos * queries_per_video)))


def _resampled_means(
    d: Float[np.ndarray, "*N seeds videos"], num_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws *N"]:
    """Means of tables whose rows and columns are drawn with replacement."""
    num_seeds, num_videos = d.shape[-2:]
    means = []
    for count in _blocks(num_draws):
        videos = _times_drawn(num_videos, count, rng)
        seeds = _times_drawn(num_seeds, count, rng)
        by_seed = np.moveaxis(d @ videos.T, -1, 0)
        means.append(np.einsum("d...s,ds->d...", by_seed, seeds))
    return np.concatenate(means) / (num_seeds * num_videos)


def _times_drawn(
    size: int, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws N"]:
    """How often each of `size` comes up in `size` draws, `count` times."""
    return rng.multinomial(size, np.full(size, 1 / size), count).astype(float)


def _blocks(num_draws: int) -> list[int]:
    full, rest = divmod(num_draws, DRAWS_AT_ONCE)
    return [DRAWS_AT_ONCE] * full + ([rest] if rest else [])


def _as_t(z: np.ndarray, df: np.ndarray) -> np.ndarray:
    """The quantile of t that is as far out as z is among normal values."""
    return np.sign(z) * stats.t.isf(stats.norm.sf(np.abs(z)), df)


def _as_z(t: np.ndarray, df: np.ndarray) -> np.ndarray:
    """The other way; far out the probability underflows, and 38 is far enough."""
    return np.minimum(stats.norm.isf(stats.t.sf(t, df)), 38.0)
