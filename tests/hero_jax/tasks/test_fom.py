import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pipeline import Pipeline
from hero_jax.tasks.fom import Fom, shuffle_frames
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=12)
TASK = Fom(source=SOURCE, batch_size=4)


def tiny_model(**changes):
    tower = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
    config = HeroConfig(
        vocab_size=304, feature_width=6, cross_modal=tower, temporal=tower,
        query_heads=2, max_positions=128, max_frames=100, max_query_positions=60,
    )  # fmt: skip
    return dataclasses.replace(config, **changes)


def test_chosen_frames_change_places_among_themselves():
    source, is_shuffled = shuffle_frames(50_000, np.random.default_rng(0), rate=0.15)
    assert is_shuffled.mean() == pytest.approx(0.15, abs=0.01)
    assert sorted(source.tolist()) == list(range(50_000))
    assert (source[~is_shuffled] == np.flatnonzero(~is_shuffled)).all()
    assert (source[is_shuffled] != np.flatnonzero(is_shuffled)).mean() > 0.99


def test_batches_shuffle_real_frames_within_their_video():
    batch = Pipeline(TASK, name="fom", seed=1).batch(0)
    mask = batch.videos.frame_mask
    assert not (batch.is_shuffled & ~mask).any()
    places = np.arange(mask.shape[1])
    for source, chosen, real in zip(batch.source, batch.is_shuffled, mask):
        assert sorted(source) == places.tolist()
        assert (source[~chosen] == places[~chosen]).all()
        assert set(source[chosen]) <= set(places[real])
    moved = (batch.source != places).any(axis=1)
    assert moved.sum() >= 3


def predict(batch, config):
    model = TaskModel(config, {"fom": TASK.head()})
    params = jax.jit(model.init, static_argnums=1)(jax.random.key(0), "fom", batch)
    return model.apply(params, "fom", batch), params


def test_fused_frames_are_what_is_moved():
    batch = Pipeline(TASK, name="fom", seed=1).batch(0)
    config = tiny_model()
    logits, params = predict(batch, config)
    hero, own = Hero(config), {"params": params["params"]["hero"]}
    fused = np.asarray(hero.apply(own, batch.videos, method="fuse"))
    shown = np.stack([x[source] for x, source in zip(fused, batch.source)])
    mask = batch.videos.frame_mask
    frames = hero.apply(own, shown, mask, method="contextualise")
    expected = hero.apply(own, frames, method="frame_order")
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_the_loss_asks_for_the_true_place_of_what_is_shown():
    batch = Pipeline(TASK, name="fom", seed=1).batch(0)
    right = 50.0 * jax.nn.one_hot(batch.source, 100)
    args = {"step": jnp.asarray(0), "key": None}
    loss, terms = TASK.loss(right, batch, **args)
    assert loss < 1e-6
    assert terms["accuracy"] == 1
    shown = 50.0 * jax.nn.one_hot(np.arange(batch.source.shape[1])[None], 100)
    shown = jnp.broadcast_to(shown, right.shape)
    stayed = (batch.source == np.arange(batch.source.shape[1])) & batch.is_shuffled
    _, terms = TASK.loss(shown, batch, **args)
    share = stayed.sum() / batch.is_shuffled.sum()
    assert float(terms["accuracy"]) == pytest.approx(share)


def test_no_shuffled_frame_costs_nothing():
    task = dataclasses.replace(TASK, shuffle_rate=0.0)
    batch = Pipeline(task, name="fom", seed=1).batch(0)
    logits, _ = predict(batch, tiny_model())
    loss = lambda x: task.loss(x, batch, step=jnp.asarray(0), key=None)[0]
    value, gradient = jax.value_and_grad(loss)(logits)
    assert value == 0
    assert not np.any(gradient)


def test_more_frames_than_places_are_refused_by_name():
    batch = Pipeline(TASK, name="fom", seed=1).batch(0)
    with pytest.raises(ValueError, match=r"Source\.max_frames"):
        predict(batch, tiny_model(max_ordered_frames=20))


def test_official_draws_are_an_option_that_the_fingerprint_knows():
    official = dataclasses.replace(TASK, draws_officially=True)
    example = SOURCE.open("train")[0]
    first, second = (
        official.prepare(example, np.random.default_rng(seed), 0.5) for seed in (0, 1)
    )
    assert first.source.tolist() != second.source.tolist()
    chosen = np.flatnonzero(first.is_shuffled)
    assert sorted(first.source[chosen]) == chosen.tolist()
    assert TASK.fingerprint("train") != official.fingerprint("train")
