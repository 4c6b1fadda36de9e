"""Factors beside frozen matrices: what they add, what learns, what is saved."""

import dataclasses
import re

import jax
import numpy as np
import pytest

from hero_jax import adapters, checkpoint
from hero_jax.adapters import Adapters
from hero_jax.errors import UserError
from hero_jax.optimizer import OptimizerConfig
from hero_jax.paths import named_leaves
from hero_jax.tasks.parallel_text import ParallelText
from hero_jax.train import TrainConfig, train
from tests.corpora import MemorySource
from tests.short_runs import tiny_model

SOURCE = MemorySource(num_videos=8)
SMALL = Adapters(rank=2, scale=6.0)
CONFIG = TrainConfig(
    tasks={"parallel": ParallelText(source=SOURCE, batch_size=4)},
    model=tiny_model(SOURCE),
    steps=3,
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=1),
    adapters=SMALL,
)


def parameters():
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((1, 3, 3)).astype(np.float32)
    tower = {"cross_modal": {"layers": {"query": {"kernel": matrix}}}}
    return {"hero": tower | {"rest": np.ones(2, np.float32)}}


def test_fresh_factors_change_nothing():
    begun = adapters.begin(SMALL, parameters(), jax.random.key(0))
    shapes = {name: leaf.shape for name, leaf in named_leaves(begun).items()}
    kernel = "hero/cross_modal/layers/query/kernel"
    assert shapes[f"adapters/down/{kernel}"] == (1, 3, 2)
    assert shapes[f"adapters/up/{kernel}"] == (1, 2, 3)
    jax.tree.map(np.testing.assert_array_equal, adapters.folded(begun), parameters())


def test_the_product_is_added_scale_over_rank_times():
    begun = adapters.begin(SMALL, parameters(), jax.random.key(0))
    place = lambda kind: begun["adapters"][kind]["hero"]["cross_modal"]["layers"][
        "query"
    ]
    place("up")["kernel"] = up = np.ones((1, 2, 3), np.float32)
    down = np.asarray(place("down")["kernel"])
    found = adapters.folded(begun)["hero"]["cross_modal"]["layers"]["query"]["kernel"]
    old = parameters()["hero"]["cross_modal"]["layers"]["query"]["kernel"]
    np.testing.assert_allclose(found, old + 3.0 * down @ up, rtol=1e-6)


def test_a_matrix_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no parameter's path has 'decoder'"):
        adapters.begin(Adapters(matrices="decoder"), parameters(), jax.random.key(0))


def test_training_changes_the_adapted_matrices_alone(tmp_path):
    first = train(dataclasses.replace(CONFIG, steps=1), tmp_path / "run")
    begun = jax.tree.map(np.asarray, named_leaves(first.params["hero"]))
    state = train(CONFIG, tmp_path / "run")
    for name, leaf in named_leaves(state.params["hero"]).items():
        np.testing.assert_array_equal(leaf, begun[name], err_msg=name)
    _, saved = checkpoint.load_params(tmp_path / "run")
    assert set(saved) == {"hero"}
    moved = {n for n, x in named_leaves(saved["hero"]).items() if (x != begun[n]).any()}
    assert moved
    assert all(re.search(SMALL.matrices, f"hero/{name}") for name in moved)


def test_a_run_goes_on_with_its_own_adapters_alone(tmp_path):
    train(dataclasses.replace(CONFIG, steps=1), tmp_path / "run")
    other = dataclasses.replace(CONFIG, adapters=dataclasses.replace(SMALL, scale=1.0))
    with pytest.raises(UserError, match=r"adapters\.scale"):
        train(other, tmp_path / "run")


@pytest.mark.parametrize("change", [{"kind": "optax"}, {"skips_untouched": False}])
def test_a_rule_that_would_change_what_is_frozen_is_refused(tmp_path, change):
    optimizer = OptimizerConfig(**change)
    with pytest.raises(UserError, match="beside adapters"):
        train(dataclasses.replace(CONFIG, optimizer=optimizer), tmp_path / "run")
