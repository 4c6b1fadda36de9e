"""Weights of VALUE's variants, by the names of their description (A.9)."""

import numpy as np
import pytest

from hero_jax import export, importing, pretrained
from hero_jax.errors import UserError
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pretrained import WeightsError
from hero_jax.torch_file import read_state, write_state
from tests.weights import random_hero

WIDTH, FEATURES = 64, 6
TOWER = TransformerConfig(width=WIDTH, num_heads=1, num_layers=2, mlp_width=8)
PARTS = ("query", "span", "answer", "caption", "words")
NEW = {
    "add": {"v_encoder.sub_transform.LayerNorm.weight": (64,),
            "v_encoder.sub_transform.net.1.weight": (64, 64)},
    "concat": {"v_encoder.sub_transform.net.1.bias": (64,),
               "v_encoder.video_sub_feature_transform.LayerNorm.bias": (128,),
               "v_encoder.video_sub_feature_transform.net.1.weight": (64, 128)},
    "sequence": {"v_encoder.frame_embeddings.img_LayerNorm.weight": (6,),
                 "v_encoder.frame_embeddings.img_linear.weight": (64, 6),
                 "v_encoder.frame_embeddings.position_embeddings.weight": (7, 64),
                 "v_encoder.frame_embeddings.LayerNorm.weight": (64,),
                 "v_encoder.sub_embeddings.position_embeddings.weight": (12, 64),
                 "v_encoder.sub_embeddings.token_type_embeddings.weight": (2, 64),
                 "v_encoder.sub_embeddings.LayerNorm.bias": (64,)},
}  # fmt: skip
UNUSED = {
    "v_encoder.f_encoder.pooler.dense.bias": (64,),
    "v_encoder.f_encoder.img_embeddings.img_LayerNorm.weight": (6,),
    "v_encoder.f_encoder.img_embeddings.position_embeddings.weight": (7, 64),
    "v_encoder.f_encoder.img_embeddings.mask_embedding.weight": (2, 6),
    "v_encoder.pad": (8, 64),
    "caption_loss_func.one_hot": (1, 24),
}
UNUSED_BY_SEQUENCE = {
    "v_encoder.sub_embeddings.word_embeddings.weight": (24, 64),
    "v_encoder.frame_embeddings.mask_embedding.weight": (2, 6),
    "v_encoder.frame_transform.LayerNorm.weight": (6,),
}


def config(kind):
    return HeroConfig(
        vocab_size=24,
        feature_width=FEATURES,
        max_positions=12,
        max_segment_frames=7,
        max_frames=11,
        max_query_positions=12,
        max_caption_positions=9,
        cross_modal=TOWER,
        temporal=TOWER,
        decoder=TOWER,
        query_heads=1,
        fusion=kind,
    )


def state_of(kind, parts=PARTS):
    """What a released file of such a model holds."""
    state = pretrained.to_official(random_hero(config(kind), parts))
    more = UNUSED | (UNUSED_BY_SEQUENCE if kind == "sequence" else {})
    state |= {name: np.ones(shape, np.float32) for name, shape in more.items()}
    return state | {"vocab_padded": True}


@pytest.mark.parametrize("kind", NEW)
def test_a_variant_is_imported_whole_and_exported_tensor_for_tensor(tmp_path, kind):
    state = state_of(kind)
    for name, shape in NEW[kind].items():
        assert state[name].shape == shape
    write_state(tmp_path / "value.pt", state)
    done = importing.import_file(tmp_path / "value.pt", tmp_path / "run")
    assert not str(done.differences)
    assert {*UNUSED, "vocab_padded"} <= set(done.kept)
    found = importing.read_config(tmp_path / "run/config.json", {}).model
    assert (found.fusion, found.feature_width) == (kind, FEATURES)
    assert found.max_segment_frames == 7
    export.to_official(tmp_path / "run", tmp_path / "again.pt")
    again = read_state(tmp_path / "again.pt")
    assert list(again) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


@pytest.mark.parametrize("kind", NEW)
def test_a_tensor_of_a_variant_that_is_missing_is_named(tmp_path, kind):
    state = state_of(kind)
    lost = list(NEW[kind])[-1]
    del state[lost]
    write_state(tmp_path / "value.pt", state)
    with pytest.raises(WeightsError, match=f"missing: {lost}"):
        importing.import_file(tmp_path / "value.pt", tmp_path / "run")


def test_a_sequence_that_only_retrieves_keeps_the_positions_it_does_not_use():
    shapes = pretrained.hero_shapes(config("sequence"), ("query", "span"))
    assert "temporal_embedding" not in shapes and "word_head" not in shapes
    state = state_of("sequence", ("query", "span"))
    state["v_encoder.c_encoder.embeddings.LayerNorm.weight"] = np.ones(64)
    assert not str(pretrained.differences(state, shapes))


def test_a_local_model_has_no_tensor_of_a_variant():
    state = pretrained.to_official(random_hero(config("local"), PARTS))
    state["v_encoder.frame_embeddings.mask_embedding.weight"] = np.ones((2, 6))
    shapes = pretrained.hero_shapes(config("local"), PARTS)
    assert "unknown: v_encoder.frame_embeddings" in str(
        pretrained.differences(state, shapes)
    )


def test_programs_of_a_sequence_are_refused(tmp_path):
    write_state(tmp_path / "value.pt", state_of("sequence"))
    importing.import_file(tmp_path / "value.pt", tmp_path / "run")
    with pytest.raises(UserError, match='fusion="sequence".*--to folder'):
        export.to_stablehlo(tmp_path / "run", tmp_path / "programs")
