"""How close the vectors of translations are, and how much of it is geometry.

Cosines of translations alone prove nothing: where all vectors point one way, they are
high for any two texts. So each number has the same number for shuffled pairs beside it,
and search among all translations counts (crosslingual.md, 1.1).
"""

import numpy as np

from hero_jax.types import Float

NEIGHBOURS = 10
"""Nearest texts that CSLS takes for the density of a place."""
ROUNDING = 64
"""Units in the last place by which sums of equal products differ."""


def alignment(
    first: Float[np.ndarray, "N D"],
    second: Float[np.ndarray, "N D"],
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """ "true" pairs (row i translates row i), and "shuffled" ones as the control.

    "forward" searches the second language with the first. Ties count against.
    """
    order = derangement(len(first), np.random.default_rng(seed))
    true, shuffled = (_of_pairs(first, other) for other in (second, second[order]))
    apart = {"cosine_above_shuffled": true["cosine"] - shuffled["cosine"]}
    return {"true": true | apart, "shuffled": shuffled}


def geometry(
    first: Float[np.ndarray, "N D"], second: Float[np.ndarray, "N D"], *, seed: int = 0
) -> dict[str, float]:
    """CKA of the two languages, and how evenly all vectors use their space.

    "random_cosine" is that of two different texts of one language (0 isotropic, 1 all
    alike); "effective_rank" e^entropy of the spectrum, between 1 and the width.
    """
    rng, unit = np.random.default_rng(seed), [_unit(x) for x in (first, second)]
    order = derangement(len(first), rng)
    cosines = [np.mean(np.sum(x * x[order], axis=1)) for x in unit]
    return {
        "cka": cka(first, second),
        "random_cosine": float(np.mean(cosines)),
        "effective_rank": effective_rank(np.concatenate([first, second])),
    }


def search(similarity: Float[np.ndarray, "N N"]) -> dict[str, float]:
    """P@1 and MRR of finding row i's translation, column i; ties count against.

    What differs by rounding alone is a tie: equal vectors need not have equal products.
    """
    own = np.diagonal(similarity)[:, None] - rounding(similarity)
    ranks = np.sum(similarity >= own, axis=1)
    return {"P@1": float(np.mean(ranks == 1)), "MRR": float(np.mean(1 / ranks))}


def csls(
    similarity: Float[np.ndarray, "N1 N2"], *, k: int = NEIGHBOURS
) -> Float[np.ndarray, "N1 N2"]:
    """2 cos - density around the row - density around the column (Conneau et al. 2018).

    Density is the mean cosine with the k nearest texts of the other language: hubs,
    near to everything, no longer win.
    """
    rows = _nearest(similarity, k)[:, None]
    columns = _nearest(similarity.T, k)[None, :]
    return 2 * similarity - rows - columns


def cka(first: Float[np.ndarray, "N D1"], second: Float[np.ndarray, "N D2"]) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019): 1 is equal up to turning
    and scaling, nan for texts that are all alike."""
    x, y = _centred(first), _centred(second)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / scale) if scale > 0 else float("nan")


def effective_rank(vectors: Float[np.ndarray, "N D"]) -> float:
    """e to the entropy of the normalised singular values (Roy and Vetterli 2007).

    nan for texts that are all alike.
    """
    values = np.linalg.svd(_centred(vectors), compute_uv=False)
    if values.sum() == 0:
        return float("nan")
    shares = values[values > 0] / values.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def rounding(x: np.ndarray) -> float:
    """By how much equal sums of this size may differ."""
    x = np.asarray(x)
    unit = np.finfo(x.dtype).eps if np.issubdtype(x.dtype, np.floating) else 0.0
    return float(ROUNDING * unit * np.max(np.abs(x), initial=0.0))


def widened(x: np.ndarray) -> np.ndarray:
    """At least float32: sums over thousands of rows drown in bfloat16."""
    return np.asarray(x, np.promote_types(np.asarray(x).dtype, np.float32))


def derangement(size: int, rng: np.random.Generator) -> np.ndarray:
    """An order in which nothing stays in its place."""
    if size < 2:
        raise ValueError(f"derangement: found {size} pairs, expected at least 2")
    shuffled = rng.permutation(size)
    moved = np.empty(size, int)
    moved[shuffled] = np.roll(shuffled, 1)
    return moved


def _of_pairs(
    first: Float[np.ndarray, "N D"], second: Float[np.ndarray, "N D"]
) -> dict[str, float]:
    similarity = _unit(first) @ _unit(second).T
    corrected = csls(similarity)
    found = {
        "forward": search(similarity),
        "backward": search(similarity.T),
        "forward_csls": search(corrected),
        "backward_csls": search(corrected.T),
    }
    cosine = {"cosine": float(np.mean(np.diagonal(similarity)))}
    return cosine | {f"{way}_{m}": v for way, s in found.items() for m, v in s.items()}


def _nearest(similarity: Float[np.ndarray, "N1 N2"], k: int) -> Float[np.ndarray, "N1"]:
    """Mean of each row's k largest."""
    k = min(k, similarity.shape[1])
    return np.mean(-np.partition(-similarity, k - 1, axis=1)[:, :k], axis=1)


def _centred(x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Less the mean of all; zeros where nothing but rounding is left."""
    x = widened(x)
    apart = x - x.mean(axis=0)
    return apart if np.max(np.abs(apart), initial=0.0) > rounding(x) else apart * 0


def _unit(x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Rows of length 1; zeros stay zeros."""
    x = widened(x)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(lengths > 0, lengths, 1)
