import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from hero_jax import (
    carried,
    checkpoint,
    export,
    importing,
    official_config,
    pretrained,
    search,
)
from hero_jax import config as configs
from hero_jax.pretrained import WeightsError
from hero_jax.tasks.moment_retrieval import MomentRetrieval
from hero_jax.tasks.source import Source
from hero_jax.torch_file import FLOATS, read_state, write_state
from tests import toy
from tests.weights import random_hero

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
CONFIGS = {
    "pretrain": "pretrain",
    "vcmr": "finetune",
    "vr": "finetune",
    "videoqa": "finetune",
    "violin": "finetune",
    "tvc": "tvc",
}


def config_of(stem):
    return GOLDEN / f"config/hero_{CONFIGS[stem]}_tiny.json"


def state_of(stem):
    """What a released file holds: the weights, and a flag."""
    state = load_file(GOLDEN / f"weights/{stem}.safetensors")
    return state | {"vocab_padded": True}


def write(tmp_path, state, **options):
    path = tmp_path / "released.pt"
    write_state(path, state, **options)
    return path


def assert_equal(found, wanted):
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        if not isinstance(value, np.ndarray):
            assert found[name] is value
            continue
        assert found[name].dtype == value.dtype, name
        assert found[name].shape == value.shape, name
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize(
    ("stem", "dtype", "is_legacy"),
    [
        *((stem, "float32", False) for stem in CONFIGS),
        ("pretrain", "float16", True),
        ("tvc", "float16", False),
        ("vcmr", "bfloat16", False),
    ],
)
def test_import_then_export_gives_every_tensor_back(tmp_path, stem, dtype, is_legacy):
    state = {
        name: value.astype(FLOATS[dtype]) if isinstance(value, np.ndarray) else value
        for name, value in state_of(stem).items()
    }
    path = write(tmp_path, state, is_legacy=is_legacy)
    importing.import_file(path, tmp_path / "run", config_path=config_of(stem))
    export.to_official(tmp_path / "run", tmp_path / "again.pt", is_legacy=is_legacy)
    assert_equal(read_state(tmp_path / "again.pt"), state)


def test_what_the_run_does_not_use_is_kept_and_told(tmp_path):
    path = write(tmp_path, state_of("tvc"))
    done = importing.import_file(path, tmp_path / "run", config_path=config_of("tvc"))
    poolers = [n for n in state_of("tvc") if ".pooler." in n]
    assert set(done.kept) >= {*poolers, "loss_func.one_hot", "vocab_padded"}
    origin = carried.load(tmp_path / "run")
    assert (origin.file, origin.sha256) == ("released.pt", done.sha256)
    _, params = checkpoint.load_params(tmp_path / "run")
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert done.num_parameters == size


def test_the_run_has_the_sizes_of_the_official_config(tmp_path):
    path = write(tmp_path, state_of("pretrain"))
    importing.import_file(path, tmp_path / "run", config_path=config_of("pretrain"))
    model = search.read_config(tmp_path / "run").model
    assert (model.vocab_size, model.unused_words, model.query_heads) == (104, 3, 2)
    with pytest.raises(ValueError, match="tasks: found none"):
        search.load(tmp_path / "run")


def test_released_sizes_are_told_by_the_tensors_alone():
    inventory = json.loads((GOLDEN / "state_dict_keys_base.json").read_text())
    for kind in ("pretrain(after pad_vocab+init_type_embedding)", "vcmr", "videoqa",
                 "violin", "tvc"):  # fmt: skip
        state = {
            name: np.broadcast_to(np.float32(0), entry["shape"])
            for name, entry in inventory[kind].items()
        }
        model = importing.read_config(None, state).model
        assert (model.vocab_size, model.unused_words) == (50272, 7)
        assert (model.cross_modal.num_layers, model.temporal.num_layers) == (6, 3)
        assert (model.cross_modal.num_heads, model.query_heads) == (12, 12)
        assert (model.feature_width, model.max_segment_frames) == (4352, 100)
        assert (model.decoder.num_layers if model.decoder else 0) == 2 * (kind == "tvc")
        shapes = pretrained.hero_shapes(model, pretrained.parts_of(state))
        assert str(pretrained.differences(state, shapes)) == ""


def test_a_config_of_ours_brings_its_tasks(tmp_path):
    source = Source(tmp_path / "dataset", "microtv", tmp_path / "tokenizer.json")
    tasks = {"moments": MomentRetrieval(source=source)}
    config = dataclasses.replace(toy.config(), tasks=tasks)
    configs.save(config, tmp_path / "config.json")
    state = pretrained.to_official(random_hero(config.model, ()))
    path = write(tmp_path, state)
    importing.import_file(path, tmp_path / "run", config_path=tmp_path / "config.json")
    assert search.read_config(tmp_path / "run") == config


REMOVED = "v_encoder.f_encoder.encoder.layer.1.attention.self.query.weight"
MISSHAPEN = "v_encoder.frame_transform.net.1.bias"


def mutilated():
    state = state_of("vcmr")
    del state[REMOVED]
    state[MISSHAPEN] = np.ones(7, np.float32)
    state["something.new"] = np.arange(3, dtype=np.float32)
    return state


def test_what_does_not_fit_is_listed_and_refused(tmp_path):
    path = write(tmp_path, mutilated())
    with pytest.raises(WeightsError) as error:
        importing.import_file(path, tmp_path / "run", config_path=config_of("vcmr"))
    message = str(error.value)
    assert f"missing: {REMOVED}; unknown: something.new; misshapen: {MISSHAPEN}" in (
        message
    )
    assert "(7,), not (24,)" in message and "--partial" in message
    assert "\n" not in message and not (tmp_path / "run").exists()


def test_a_partial_import_draws_what_is_missing_and_keeps_what_is_unknown(tmp_path):
    path = write(tmp_path, mutilated())
    done = importing.import_file(
        path, tmp_path / "run", config_path=config_of("vcmr"), is_partial=True
    )
    assert done.differences.missing == (REMOVED,)
    export.to_official(tmp_path / "run", tmp_path / "again.pt")
    found, given = read_state(tmp_path / "again.pt"), mutilated()
    assert set(found) == {*given, REMOVED}
    assert found[REMOVED].std() == pytest.approx(0.02, rel=0.2)
    assert np.array_equal(found[MISSHAPEN], np.zeros(24))
    unchanged = set(given) - {MISSHAPEN}
    for name in unchanged:
        assert np.array_equal(found[name], given[name]), name


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (np.full(24, np.nan, np.float32), "is not finite"),
        (np.arange(24), "is int64, not floating-point numbers"),
        (True, "is bool, not floating|is \\(\\), not"),
    ],
)
def test_values_that_are_no_weights_are_refused(tmp_path, value, complaint):
    path = write(tmp_path, state_of("vcmr") | {MISSHAPEN: value})
    with pytest.raises(WeightsError, match=complaint):
        importing.import_file(path, tmp_path / "run", config_path=config_of("vcmr"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "hero.json: not JSON"),
        ("[]", "found a list, expected an object"),
        ("NaN", "found a float, expected an object"),
        ('{"class": "hero_jax.model.hero.HeroConfig"}', "expected the config.json"),
        ('{"class": "os.system"}', "class: found 'os.system'"),
    ],
)
def test_a_bad_config_is_named(tmp_path, content, complaint):
    (tmp_path / "hero.json").write_text(content)
    with pytest.raises(ValueError, match=complaint) as error:
        importing.read_config(tmp_path / "hero.json", state_of("vcmr"))
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("f_config", "vocab_size", "abc"),
        ("f_config", "vocab_size", -5),
        ("f_config", "hidden_size", "24"),
        ("f_config", "hidden_size", None),
        ("f_config", "num_attention_heads", 0),
        ("f_config", "num_attention_heads", 5),
        ("f_config", "num_attention_heads", True),
        ("f_config", "num_hidden_layers", 10**9),
        ("f_config", "hidden_dropout_prob", "x"),
        ("f_config", "hidden_dropout_prob", 7),
        ("f_config", "intermediate_size", -4),
        ("c_config", "max_position_embeddings", 0),
        ("c_config", "hidden_size", 48),
    ],
)
def test_a_size_that_cannot_be_is_named(tmp_path, part, field, value):
    content = json.loads(config_of("vcmr").read_text())
    content[part][field] = value
    (tmp_path / "hero.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"hero\.json: model config: ") as error:
        importing.read_config(tmp_path / "hero.json", state_of("vcmr"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", ["9999", "999999999", "9" * 5000])
def test_a_stray_layer_number_is_no_size(number):
    state = state_of("vcmr")
    name = f"v_encoder.f_encoder.encoder.layer.{number}.x"
    sizes = [len(state["v_encoder.f_encoder.encoder.layer.0.output.dense.bias"])]
    if sizes[0] % official_config.HEAD_WIDTH:
        state = widened(state)
    layers = [
        official_config.sizes_of(s)["f_config"]["num_hidden_layers"]
        for s in (state, state | {name: np.zeros(1, np.float32)})
    ]
    assert layers[0] == layers[1]


def widened(state):
    """Widths that tell the number of attention heads."""
    wide = lambda x: np.zeros([64 if n == 24 else n for n in np.shape(x)], np.float32)
    return {name: wide(value) for name, value in state.items()}


NOTHING = [np.zeros((0, 24), np.float32), np.zeros((2**25, 0), np.float32)]


@pytest.mark.parametrize("value", [True, 3, *NOTHING])
@pytest.mark.parametrize(
    "name",
    [
        "v_encoder.f_encoder.embeddings.word_embeddings.weight",
        "v_encoder.f_encoder.img_embeddings.position_embeddings.weight",
        "v_encoder.f_encoder.img_embeddings.img_LayerNorm.weight",
    ],
)
def test_a_table_that_tells_no_size_is_named(tmp_path, name, value):
    path = write(tmp_path, state_of("vcmr") | {name: value})
    with pytest.raises(WeightsError, match=f"{name}: found the shape"):
        importing.import_file(
            path, tmp_path / "run", config_path=config_of("vcmr"), is_partial=True
        )
    assert not (tmp_path / "run").exists()


def test_a_value_beyond_float32_is_not_finite(tmp_path):
    path = write(tmp_path, state_of("vcmr") | {MISSHAPEN: np.full(24, 1e300)})
    with pytest.raises(WeightsError, match="is not finite"):
        importing.import_file(path, tmp_path / "run", config_path=config_of("vcmr"))


def test_nothing_is_written_over(tmp_path):
    path = write(tmp_path, state_of("vr"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(WeightsError, match="found notes.txt"):
        importing.import_file(path, tmp_path / "run", config_path=config_of("vr"))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        ".lock",
        "notes.txt",
    ]


def test_odd_widths_need_the_config(tmp_path):
    with pytest.raises(WeightsError, match="24 wide.*--config"):
        importing.read_config(None, state_of("vcmr"))


def test_other_weights_are_told_apart(tmp_path):
    state = load_file(GOLDEN / "weights/roberta12_tiny.safetensors")
    with pytest.raises(WeightsError, match="no model of HERO.*TrainConfig.start"):
        importing.read_config(None, state)
