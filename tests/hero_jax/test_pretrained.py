import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from hero_jax import official_config, pretrained
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.pretrained import WeightsError

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CONFIGS = {"pretrain": "pretrain", "vcmr": "finetune", "vr": "finetune"}


def read(stem):
    model = json.loads((GOLDEN / f"config/hero_{CONFIGS[stem]}_tiny.json").read_text())
    return model, load_file(GOLDEN / f"weights/{stem}.safetensors")


def paper():
    """Official names, shapes and kinds of the pre-training model at paper size."""
    inventory = json.loads((GOLDEN / "state_dict_keys_base.json").read_text())
    return inventory["pretrain(after pad_vocab+init_type_embedding)"]


def shapes_of(params):
    """Official shapes of a tree of shapes, without any array."""
    zeros = lambda leaf: np.broadcast_to(np.float32(0), leaf.shape)
    return {
        k: v.shape
        for k, v in pretrained.to_official(jax.tree.map(zeros, params)).items()
    }


@pytest.mark.parametrize("stem", CONFIGS)
def test_weights_come_back_bit_for_bit(stem):
    model, state = read(stem)
    params = pretrained.from_official(state, official_config.model_config(model, state))
    back = pretrained.to_official(params, pretrained.carried_over(state))
    assert back.keys() == state.keys()
    assert all(np.array_equal(back[name], state[name]) for name in state)


def test_the_paper_model_has_the_official_211_entries():
    inventory = paper()
    ours = shapes_of(pretrained.hero_shapes(HeroConfig(unused_words=7)))
    official = {name: tuple(entry["shape"]) for name, entry in inventory.items()}
    assert len(official) == 211
    carried = {n: s for n, s in official.items() if n not in ours}
    assert ours | carried == official
    assert all(
        pretrained.UNUSED.fullmatch(n) or pretrained.NOT_PARAMETERS.fullmatch(n)
        for n in carried
    )


def test_its_121037262_parameters_are_ours_and_the_two_poolers():
    shapes = pretrained.hero_shapes(HeroConfig())
    ours = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    poolers = [e["shape"] for n, e in paper().items() if pretrained.UNUSED.fullmatch(n)]
    unused = sum(int(np.prod(shape)) for shape in poolers)
    assert len(poolers) == 4
    assert (ours, unused, ours + unused) == (119_856_078, 1_181_184, 121_037_262)


def test_a_run_holds_what_its_tasks_use():
    config = HeroConfig()
    slots, one = np.zeros((2, 128), np.int32), np.zeros(3, np.int32)
    videos = VideoBatch(
        np.zeros((1, 5, 4352), np.float32), np.ones((1, 5), bool), *[slots] * 4
    )
    texts = TextBatch(slots, slots, slots, one, one)

    def matching_and_masked_words(hero):
        frames, queries = hero.encode_videos(videos), hero.encode_queries(texts)
        hero.span_logits(queries[:1], frames, videos.frame_mask)
        return hero.word_logits(hero.cross_modal_rows(videos)[0])

    start = lambda key: Hero(config).init(key, method=matching_and_masked_words)
    held = jax.eval_shape(start, jax.random.key(0))["params"]
    everything = jax.tree.map(lambda leaf: leaf, pretrained.hero_shapes(config))
    absent = {"frame_mask", "frame_regression", "order_head"}  # MFM and FOM
    assert held.keys() == everything.keys() - absent
    assert "mask" not in held["frame_embedding"]
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    mask = everything["frame_embedding"].pop("mask")
    parts = [everything.pop(name) for name in absent]
    assert size(parts) + size(mask) == 3_938_816 + 1_337_956 + 2 * 8_704
    assert jax.tree.map(np.shape, held) == jax.tree.map(np.shape, everything)


def recorded_starts():
    """How the official code begins every entry of all its models (A.11)."""
    inventory = json.loads((GOLDEN / "state_dict_keys_base.json").read_text())
    models = [model for model in inventory.values() if isinstance(model, dict)]
    return {name: entry for model in models for name, entry in model.items()}


@pytest.fixture(scope="module")
def drawn():
    """Every part at paper width, with one layer a tower: its names are recorded."""
    one = lambda tower: dataclasses.replace(tower, num_layers=1)
    paper_sizes = HeroConfig()
    config = dataclasses.replace(
        HeroConfig(vocab_size=500, feature_width=300),
        cross_modal=one(paper_sizes.cross_modal),
        temporal=one(paper_sizes.temporal),
        decoder=one(paper_sizes.cross_modal),
    )
    params = pretrained.draw(config, tuple(pretrained.PARTS), seed=3)
    return pretrained.to_official(params)


def test_official_initialisation_is_ours(drawn):
    """The mean, the spread and the tails of every array of every model."""
    recorded, num_compared = recorded_starts(), 0
    for name, array in drawn.items():
        expected = recorded[name]["init"]
        if expected["std"] < 1e-3 and array.size > 1:
            assert np.all(array == np.round(expected["mean"])), name
        elif array.size > 500:
            noise = 0.02 + 4 / np.sqrt(array.size)
            assert array.std() == pytest.approx(expected["std"], rel=noise), name
            assert abs(array.mean()) < 5 * array.std() / np.sqrt(array.size), name
            is_uniform = expected["max_abs"] < 2 * expected["std"]
            assert (np.abs(array).max() < 2 * array.std()) == is_uniform, name
            num_compared += 1
    assert num_compared > 60


def test_small_arrays_begin_within_the_bounds_of_pytorch(drawn):
    """U(-b, b) with b = 1 / sqrt(fan in), where too few are drawn for statistics."""
    inputs = {
        "video_st_predictor.weight": 5,
        "video_ed_predictor.weight": 5,
        "qa_pred_head.linear_2.bias": 1536,
        "st_ed_pred_head.linear_2.bias": 1536,
        "violin_pred_head.linear_2.bias": 1536,
    }
    for name, fan_in in inputs.items():
        assert 0 < np.abs(drawn[name]).max() <= fan_in**-0.5, name
    largest = max(np.abs(drawn[name]).max() * n**0.5 for name, n in inputs.items())
    assert largest > 0.5


def test_both_pools_of_question_answering_begin_alike(drawn):
    assert np.array_equal(drawn["qa_pool.weight"], drawn["st_ed_pool.weight"])


def test_the_config_is_read_from_file_and_weights():
    model, state = read("pretrain")
    config = official_config.model_config(model, state)
    rows = len(state["v_encoder.f_encoder.embeddings.word_embeddings.weight"])
    assert config.vocab_size == rows
    assert config.unused_words == rows - model["f_config"]["vocab_size"] > 0
    assert config.temporal.num_heads == model["c_config"]["num_attention_heads"]
    assert config.max_frames == model["c_config"]["max_position_embeddings"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda s: s.pop("video_query_linear.bias"),
            "missing: video_query_linear.bias",
        ),
        (lambda s: s.update(qa_pool=np.ones(2)), "unknown: qa_pool"),
        (
            lambda s: s.update({"video_query_linear.bias": np.ones(7)}),
            r"misshapen: video_query_linear.bias is \(7,\), not \(24,\)",
        ),
        (
            lambda s: s.update({pretrained.TIED: s[pretrained.TIED] + np.float32(1)}),
            "differs from .*word_embeddings",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(damage, words):
    model, state = read("pretrain")
    config = official_config.model_config(model, state)
    damage(state)
    with pytest.raises(WeightsError, match=words) as error:
        pretrained.from_official(state, config)
    assert "\n" not in str(error.value)


def test_flags_and_buffers_among_the_weights_are_no_parameters():
    model, state = read("pretrain")
    config = official_config.model_config(model, state)
    state |= {"vocab_padded": True, "loss_func.one_hot": np.ones((1, 3))}
    pretrained.from_official(state, config)


def test_half_precision_files_become_float32():
    model, state = read("vr")
    config = official_config.model_config(model, state)
    half = {name: array.astype(np.float16) for name, array in state.items()}
    params = pretrained.from_official(half, config)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["c_config"].pop("hidden_size"), "c_config.hidden_size is missing"),
        (lambda m: m["f_config"].update(hidden_act="relu"), "hidden_act is 'relu'"),
    ],
)
def test_a_config_file_with_a_mistake_is_named(change, words):
    model, state = read("vcmr")
    change(model)
    with pytest.raises(WeightsError, match=words):
        official_config.model_config(model, state)
