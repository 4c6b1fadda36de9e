import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hero_jax.losses.frame_nce import FrameNce
from hero_jax.losses.regression import FrameDistance
from hero_jax.model.hero import HeroConfig
from hero_jax.model.multitask import TaskModel
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pipeline import Pipeline
from hero_jax.tasks.mfm import Mfm, mask_frames
from tests.corpora import MemorySource

SOURCE = MemorySource(num_videos=12)
KEY = jax.random.key(0)


def tiny_model():
    tower = TransformerConfig(width=8, num_heads=2, num_layers=1, mlp_width=12)
    return HeroConfig(
        vocab_size=304, feature_width=6, cross_modal=tower, temporal=tower,
        query_heads=2, max_positions=128, max_frames=100, max_query_positions=60,
    )  # fmt: skip


def batch_of(task, number=0, num_groups=1):
    return Pipeline(task, name="mfm", seed=1, num_groups=num_groups).batch(number)


def test_a_share_of_the_frames_is_hidden_and_one_at_least():
    is_masked = mask_frames(100_000, np.random.default_rng(0), rate=0.15)
    assert is_masked.mean() == pytest.approx(0.15, abs=0.005)
    chosen = set()
    for seed in range(50):
        is_masked = mask_frames(4, np.random.default_rng(seed), rate=1e-9)
        assert is_masked.sum() == 1
        chosen.add(int(is_masked.argmax()))
    assert chosen == {0, 1, 2, 3}


@pytest.mark.parametrize("num_groups", [1, 2])
def test_the_list_of_hidden_frames_says_what_the_mask_says(num_groups):
    batch = batch_of(Mfm(source=SOURCE, batch_size=4), num_groups=num_groups)
    assert not (batch.is_masked & ~batch.videos.frame_mask).any()
    assert batch.is_masked.any(axis=1).all()
    masks = np.split(batch.is_masked, num_groups)
    for mask, frames in zip(masks, np.split(batch.frame, num_groups)):
        assert frames[frames >= 0].tolist() == np.flatnonzero(mask).tolist()


def test_official_draws_are_an_option_that_the_fingerprint_knows():
    example = SOURCE.open("train")[0]
    own = Mfm(source=SOURCE)
    official = dataclasses.replace(own, draws_officially=True)
    masks = [t.prepare(example, np.random.default_rng(0), 0.5) for t in (own, official)]
    assert masks[0].is_masked.shape == masks[1].is_masked.shape
    assert masks[0].is_masked.tolist() != masks[1].is_masked.tolist()
    again = official.prepare(example, np.random.default_rng(0), 0.5)
    assert again.is_masked.tolist() == masks[1].is_masked.tolist()
    assert own.fingerprint("train") != official.fingerprint("train")


def outcome(task, batch, params=None):
    """Loss, terms, predictions and parameters."""
    model = TaskModel(tiny_model(), {"mfm": task.head()})
    params = params or jax.jit(model.init, static_argnums=1)(KEY, "mfm", batch)
    predictions = jax.jit(model.apply, static_argnums=1)(params, "mfm", batch)
    value, terms = task.loss(predictions, batch, step=jnp.asarray(0), key=None)
    return value, terms, predictions, params


def test_the_feature_of_a_hidden_frame_reaches_nothing_but_the_target():
    task = Mfm(source=SOURCE, batch_size=4, objective=FrameDistance())
    batch = batch_of(task)
    _, _, predictions, params = outcome(task, batch)
    changed = np.where(batch.is_masked[..., None], 77.0, batch.videos.features)
    videos = batch.videos.replace(features=changed.astype(np.float32))
    value, terms, again, _ = outcome(task, batch.replace(videos=videos), params)
    np.testing.assert_array_equal(again, predictions)
    assert value == terms["distance"] > 77


def test_regression_is_the_mean_distance_of_hidden_frames():
    task = Mfm(source=SOURCE, batch_size=4, objective=FrameDistance())
    batch = batch_of(task)
    value, _, predictions, _ = outcome(task, batch)
    errors = (np.asarray(predictions) - batch.videos.features)[batch.is_masked]
    expected = np.linalg.norm(errors, axis=1).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("is_official", [False, True])
def test_negatives_are_the_real_frames_or_officially_padding_too(is_official):
    task = Mfm(source=SOURCE, batch_size=4, has_padding_negatives=is_official)
    batch = batch_of(task)
    value, terms, predictions, _ = outcome(task, batch)
    predictions = np.asarray(predictions, np.float64)
    masked = predictions[batch.is_masked]
    others = ~batch.is_masked & (is_official | batch.videos.frame_mask)
    targets = batch.videos.features[batch.is_masked]
    logits = masked @ np.concatenate([targets, predictions[others]]).T
    expected = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
    np.testing.assert_allclose(value, expected.mean(), rtol=1e-4)
    assert terms["negatives"] == others.sum()


def test_groups_choose_among_their_own_frames():
    task = Mfm(source=SOURCE, batch_size=4, objective=FrameNce())
    batch = batch_of(task, num_groups=2)
    _, terms, predictions, _ = outcome(task, batch)
    shown = batch.videos.frame_mask & ~batch.is_masked
    assert terms["negatives"] == shown.sum() / 2
    assert predictions.shape == batch.videos.features.shape
