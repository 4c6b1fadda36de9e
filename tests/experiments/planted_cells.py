"""Cells of a study in which the true answer was planted."""

import itertools

import numpy as np

from experiments.crosslingual import planned
from experiments.crosslingual.grid import Cell, Grid
from hero_jax import config as configs

LANGUAGES = ("en", "zh")
NUM_VIDEOS, PER_VIDEO = 80, 2
GAIN = {"vsm": 0.8, "vsm_global": 0.8, "info_nce": 0.0, "info_nce_local": 0.0}
"""By how much log ranks fall across languages, for one arm less another."""


GRID = Grid(
    arms=tuple(GAIN),
    replications=(),
    evidence=(),
    translated=(),
    ingredients=(),
    aided=(),
    steps={"mtvr_loo": 7},
)

PAIR, SEEDS = ("vsm", "info_nce"), range(6)
TERMS = [f"moments/{name}" for name in ("positive", "negative", "hardest", "active")]
LISTS = {"same_top1": 0.5, "overlap@10": 0.75}
KINDS = [f"{way}_{m}" for way in ("forward", "backward") for m in ("P@1", "MRR")]
PAIRED = dict.fromkeys([*KINDS, "forward_csls_P@1", "backward_csls_P@1"], 0.3)
VECTORS = {
    "alignment": {
        "true": PAIRED | {"cosine_above_shuffled": 0.6},
        "shuffled": PAIRED | dict.fromkeys(KINDS, 0.0),
    },
    "probe": {"accuracy": 0.9},
}


def config_of(fields):
    """What the cell says that it trained."""
    cell = Cell(**fields | {"languages": tuple(fields.get("languages", ()))})
    model, source = planned.model_of(GRID), planned.ANY_SOURCE
    return configs.to_json(planned.train_config(GRID, cell, source, model))


def record(arm, seed, *, gain, family="confirmatory", trial=0, **changes):
    """Ranks of one cell: videos are easy or hard, seeds differ, and arms across."""
    videos = np.repeat(np.arange(NUM_VIDEOS), PER_VIDEO)
    hard = np.random.default_rng(0).normal(2, 1, NUM_VIDEOS)[videos]
    rng = np.random.default_rng([1, seed])
    pairs = itertools.product(LANGUAGES, (*LANGUAGES, "none"))
    noise = {pair: rng.normal(0, 0.5, len(videos)) for pair in pairs}
    shift = rng.normal(0, 0.1)

    def ranks(asked, read):
        less = gain if asked != read else 0.0
        logs = hard + noise[asked, read] + shift - less
        found = np.maximum(1, np.round(np.exp(logs))).astype(int).tolist()
        local = (
            {"0.5": found, "0.7": found} if arm in ("vsm", "info_nce_local") else None
        )
        return {"VR": found, "SVMR": local, "VCMR": local}

    cell = {
        "family": family, "corpus": "mtvr_loo", "arm": arm, "trial": trial,
        "seed": seed, "steps": 7,
    }  # fmt: skip
    reads = (*LANGUAGES, "none")
    return {
        "cell": cell | changes,
        "config": config_of(cell | changes),
        "meta": {"name": "planted"},
        "kinds": [""] * len(videos),
        "videos": videos.tolist(),
        "curve": [{"step": 7, "grad_norm": 2.0, **dict.fromkeys(TERMS, 0.25)}],
        "diagnostics": {
            "vectors": {"en-zh": VECTORS},
            "lists": {"en-zh": {"en": LISTS, "zh": LISTS}},
            "mixed": {"en-zh": {"bias": 0.125}},
        },
        "ranks": {a: {r: ranks(a, r) for r in reads} for a in LANGUAGES},
    }
