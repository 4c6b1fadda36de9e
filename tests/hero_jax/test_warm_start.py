import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from hero_jax import carried, export, importing, official_config, pretrained, warm_start
from hero_jax.learner import TrainState
from hero_jax.paths import named_leaves
from hero_jax.pretrained import WeightsError
from hero_jax.torch_file import read_state, write_state
from hero_jax.train import train
from hero_jax.warm_start import Start
from tests import toy
from tests.weights import random_hero

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ROBERTA = GOLDEN / "weights/roberta12_tiny.safetensors"


def released():
    model = json.loads((GOLDEN / "config/hero_pretrain_tiny.json").read_text())
    state = load_file(GOLDEN / "weights/pretrain.safetensors")
    return state, official_config.model_config(model, state)


@pytest.fixture
def official_file(tmp_path):
    write_state(tmp_path / "hero.pt", released()[0])
    return tmp_path / "hero.pt"


def fresh(config, parts=pretrained.RETRIEVAL):
    """Parameters of a run that trains a task with a head of its own."""
    hero = jax.tree.map(np.zeros_like, random_hero(config, parts))
    params = {"hero": hero, "heads_new": {"kernel": np.full((3, 2), 7, np.float32)}}
    return jax.tree.map(jax.numpy.asarray, params)


def test_a_task_begins_with_what_it_uses_of_released_weights(official_file):
    state, config = released()
    params = fresh(config, ())
    del params["hero"]["order_head"]
    begun, left = warm_start.begin(Start(official_file), params, config)
    assert np.array_equal(begun["heads_new"]["kernel"], np.full((3, 2), 7))
    found = pretrained.to_official(begun["hero"])
    for name, value in found.items():
        assert np.array_equal(value, state[name]), name
    assert {n for n in left.entries if "fom_output" in n or "q_feat_attn" in n}
    assert set(left.entries) | set(found) == set(state)


def test_what_is_left_over_comes_back_when_the_run_is_exported(official_file):
    state, config = released()
    params = fresh(config, ())
    begun, left = warm_start.begin(Start(official_file), params, config)
    again = export.official_state(begun["hero"], left)
    assert list(again) == list(state)
    assert all(np.array_equal(again[name], state[name]) for name in state)


def test_a_run_begins_with_another_and_inherits_what_that_kept(tmp_path, official_file):
    state, config = released()
    file = GOLDEN / "config/hero_pretrain_tiny.json"
    importing.import_file(official_file, tmp_path / "run", config_path=file)
    begun, left = warm_start.begin(Start(tmp_path / "run"), fresh(config, ()), config)
    again = export.official_state(begun["hero"], left)
    assert list(again) == list(state)
    assert all(np.array_equal(again[name], state[name]) for name in state)


def test_roberta_begins_the_cross_modal_tower_and_nothing_else():
    _, config = released()
    params = fresh(config)
    filled = jax.tree.map(lambda leaf: leaf + 9, params)
    begun, left = warm_start.begin(Start(ROBERTA), filled, config)
    assert left is None
    changed = {
        name.split("/")[1]
        for name, leaf in named_leaves(begun).items()
        if not np.array_equal(leaf, named_leaves(filled)[name])
    }
    assert changed == {"text_embedding", "cross_modal", "word_head", "frame_mask"}


def test_only_the_masked_row_of_the_temporal_tower_is_not_zero():
    """A.11: row 0 is added to unmasked frames, and the official loader clears it."""
    _, config = released()
    params = jax.tree.map(lambda leaf: leaf + 9, fresh(config))
    begun, _ = warm_start.begin(Start(ROBERTA), params, config)
    rows = begun["hero"]["frame_mask"]["rows"]["embedding"]
    assert not rows[0].any() and np.all(rows[1] == 9)
    frame_rows = begun["hero"]["frame_embedding"]["mask"]["rows"]["embedding"]
    assert np.all(frame_rows == 9)


def test_parameters_stay_where_they_are_on_the_mesh(official_file):
    _, config = released()
    mesh = jax.make_mesh((2,), ("model",), devices=jax.devices()[:2])
    spec = jax.sharding.PartitionSpec("model")
    place = jax.sharding.NamedSharding(mesh, spec)
    params = fresh(config)
    words = params["hero"]["text_embedding"]["word"]
    words["embedding"] = jax.device_put(words["embedding"], place)
    begun, _ = warm_start.begin(Start(official_file), params, config)
    found = begun["hero"]["text_embedding"]["word"]["embedding"]
    assert found.sharding == place
    assert np.array_equal(found, released()[0][pretrained.WORDS])


def test_another_shape_is_named_and_nothing_is_cut(official_file):
    _, config = released()
    wider = dataclasses.replace(config, max_frames=config.max_frames + 1)
    with pytest.raises(WeightsError, match=r"temporal_embedding/.* is \(64, 24\), not"):
        warm_start.begin(Start(official_file), fresh(wider), wider)


def test_weights_of_something_else_are_refused(tmp_path):
    write_state(tmp_path / "x.pt", {"weight": np.ones(3, np.float32)})
    _, config = released()
    with pytest.raises(WeightsError, match="expected RoBERTa, XLM-R or BERT"):
        warm_start.begin(Start(tmp_path / "x.pt"), fresh(config), config)


def test_training_begins_with_the_weights_it_is_given(tmp_path):
    """A step so small that it changes nothing: what is saved is what was given."""
    config = toy.config()
    first = train(config, tmp_path / "first")
    still = dataclasses.replace(
        config.optimizer, learning_rate=1e-30, max_grad_norm=1e-30
    )
    again = dataclasses.replace(
        config, steps=1, start=Start(tmp_path / "first"), optimizer=still, seed=6
    )
    second = train(again, tmp_path / "second")
    assert_close(second, first)


def test_a_run_that_began_with_released_weights_keeps_what_it_came_with(tmp_path):
    config = toy.config(steps=1)
    state = pretrained.to_official(random_hero(config.model, ()))
    state["v_encoder.f_encoder.pooler.dense.bias"] = np.ones(12, np.float32)
    write_state(tmp_path / "hero.pt", state)
    train(
        dataclasses.replace(config, start=Start(tmp_path / "hero.pt")),
        tmp_path / "run",
    )
    assert carried.load(tmp_path / "run").file == "hero.pt"
    export.to_official(tmp_path / "run", tmp_path / "again.pt")
    again = read_state(tmp_path / "again.pt")
    assert set(again) == set(state)
    name = "v_encoder.feat_regress.net.0.weight"
    assert np.array_equal(again[name], state[name])


def assert_close(found: TrainState, wanted: TrainState):
    for name, leaf in named_leaves(wanted.params).items():
        assert np.allclose(named_leaves(found.params)[name], leaf, atol=1e-6), name
