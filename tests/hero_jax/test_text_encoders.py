import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from data_pipelines import tokenizers
from hero_jax import official_config, pretrained, text_encoders
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pretrained import TIED, WeightsError
from hero_jax.torch_file import write_state

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
ROBERTA = GOLDEN / "weights/roberta12_tiny.safetensors"
ENCODER = text_encoders.ENCODER


def golden_config(**changes) -> HeroConfig:
    model = json.loads((GOLDEN / "config/hero_pretrain_tiny.json").read_text())
    state = load_file(GOLDEN / "weights/pretrain.safetensors")
    config = official_config.model_config(model, state)
    return dataclasses.replace(config, **changes)


@pytest.mark.parametrize("name", ["", "_noskip"])
def test_roberta_gives_the_tensors_that_the_official_loader_takes(name):
    wanted = load_file(GOLDEN / f"weights/pretrain_from_roberta{name}.safetensors")
    found = text_encoders.as_official(
        text_encoders.read(ROBERTA),
        golden_config(),
        skips_layers=not name,
        is_official=True,
    )
    poolers = [n for n in wanted if ".pooler." in n]
    assert set(found) == set(wanted) - set(poolers)
    for entry, value in found.items():
        assert np.array_equal(value, wanted[entry]), entry


def miniature(prefix, head, *, words=21, layers=4, width=64, positions=18, types=1):
    """A masked language model with the names of one family."""
    rng = np.random.default_rng(5)
    shapes = {
        "embeddings.word_embeddings.weight": (words, width),
        "embeddings.position_embeddings.weight": (positions, width),
        "embeddings.token_type_embeddings.weight": (types, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    sizes = {
        "attention.self.query": (width, width),
        "attention.self.key": (width, width),
        "attention.self.value": (width, width),
        "attention.output.dense": (width, width),
        "attention.output.LayerNorm": (width,),
        "intermediate.dense": (96, width),
        "output.dense": (width, 96),
        "output.LayerNorm": (width,),
    }
    for layer in range(layers):
        for name, shape in sizes.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    shapes = {prefix + name: shape for name, shape in shapes.items()} | head
    return {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }


XLM_R_HEAD = {
    "lm_head.bias": (21,),
    "lm_head.dense.weight": (64, 64),
    "lm_head.dense.bias": (64,),
    "lm_head.layer_norm.weight": (64,),
    "lm_head.layer_norm.bias": (64,),
    "lm_head.decoder.weight": (21, 64),
}
BERT_HEAD = {
    "cls.predictions.bias": (21,),
    "cls.predictions.transform.dense.weight": (64, 64),
    "cls.predictions.transform.dense.bias": (64,),
    "cls.predictions.transform.LayerNorm.weight": (64,),
    "cls.predictions.transform.LayerNorm.bias": (64,),
    "cls.predictions.decoder.weight": (21, 64),
    "cls.seq_relationship.weight": (2, 64),
}


def xlm_r():
    return miniature("roberta.", XLM_R_HEAD)


def multilingual_bert():
    """Of 2018: gamma and beta, two token types, a sentence head."""
    state = miniature("bert.", BERT_HEAD, types=2)
    old = lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )
    return {old(name): value for name, value in state.items()}


def without_head():
    """As the bare encoder of either family is saved."""
    return miniature("", {})


def written(path, state):
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        write_state(path, state, is_legacy=True)
    return path


def tiny_config() -> HeroConfig:
    tower = TransformerConfig(width=64, num_heads=1, num_layers=2, mlp_width=96)
    return HeroConfig(
        vocab_size=24,
        unused_words=3,
        feature_width=5,
        max_positions=18,
        cross_modal=tower,
        temporal=dataclasses.replace(tower, num_layers=1),
        query_heads=1,
    )


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("family", [xlm_r, multilingual_bert, without_head])
def test_every_family_and_file_format_fills_the_tower(tmp_path, family, suffix):
    path = written(tmp_path / f"weights{suffix}", family())
    found = text_encoders.as_official(text_encoders.read(path), tiny_config())
    shapes = pretrained.hero_shapes(tiny_config())
    leaves = pretrained.leaves_of(found, shapes)
    head = {"word_head"} if family is not without_head else set()
    modules = {name.split("/")[0] for name in leaves}
    assert modules == {"text_embedding", "cross_modal"} | head
    assert leaves["cross_modal/layers/inner/kernel"].shape == (2, 64, 96)
    assert len(found) == 5 + 2 * 16 + 1 + (5 if head else 0)


def test_layers_types_and_norms_are_taken_as_officially(tmp_path):
    state = multilingual_bert()
    encoder = text_encoders.read(written(tmp_path / "m.bin", state))
    found = text_encoders.as_official(encoder, tiny_config())
    layer = lambda n: state[f"bert.encoder.layer.{n}.attention.output.LayerNorm.gamma"]
    taken = lambda n: found[
        f"{ENCODER}encoder.layer.{n}.attention.output.LayerNorm.weight"
    ]
    assert np.array_equal(taken(0), layer(1))
    assert np.array_equal(taken(1), layer(3))
    types = found[f"{ENCODER}embeddings.token_type_embeddings.weight"]
    first = state["bert.embeddings.token_type_embeddings.weight"][0]
    assert np.array_equal(types, [first, first])


def test_words_are_padded_with_zeros_and_tied(tmp_path):
    state = xlm_r()
    encoder = text_encoders.read(written(tmp_path / "x.safetensors", state))
    found = text_encoders.as_official(encoder, tiny_config())
    words = found[f"{ENCODER}embeddings.word_embeddings.weight"]
    assert np.array_equal(
        words[:21], state["roberta.embeddings.word_embeddings.weight"]
    )
    assert not words[21:].any() and words.shape == (24, 64)
    assert found[TIED] is words
    bias = found[f"{ENCODER}lm_head.bias"]
    assert bias.shape == (24,) and not bias[21:].any()


def test_a_model_takes_its_sizes_from_the_weights(tmp_path):
    path = written(tmp_path / "x.safetensors", xlm_r())
    config = text_encoders.config_like(path, HeroConfig())
    assert (config.vocab_size, config.unused_words) == (24, 3)
    assert (config.max_positions, config.width, config.query_heads) == (18, 64, 1)
    assert (config.cross_modal.mlp_width, config.cross_modal.num_layers) == (96, 6)
    assert config.temporal.num_layers == 3


def test_the_vocabulary_of_a_tokenizer_is_that_of_its_weights(tmp_path):
    """A WordPiece vocabulary of 21 lines, as multilingual BERT is published with."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnop"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = tokenizers.load(tmp_path)
    encoder = text_encoders.read(written(tmp_path / "m.bin", multilingual_bert()))
    text_encoders.check_vocabulary(encoder, tokenizer.vocab_size)
    with pytest.raises(WeightsError, match="has 21 words, the tokenizer 1500"):
        text_encoders.check_vocabulary(encoder, 1500)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"vocab_size": 40, "unused_words": 0}, "has 21 words.*vocab_size 24"),
        ({"vocab_size": 16, "unused_words": 0}, "has 21 words"),
        ({"max_positions": 19}, "has 18 positions.*at most 18"),
        (
            {"cross_modal": TransformerConfig(64, 1, 5, 96)},
            "has 4 layers.*num_layers is 5",
        ),
    ],
)
def test_weights_that_do_not_fit_the_model_are_named(tmp_path, changes, complaint):
    encoder = text_encoders.read(written(tmp_path / "x.safetensors", xlm_r()))
    config = dataclasses.replace(tiny_config(), **changes)
    with pytest.raises(WeightsError, match=complaint) as error:
        text_encoders.as_official(encoder, config)
    assert "x.safetensors" in str(error.value) and "\n" not in str(error.value)


LAYER_3 = "roberta.encoder.layer.3.output.dense.bias"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({LAYER_3: np.zeros(5, np.float32)}, r"found \[5\], expected the shape \[64\]"),
        ({LAYER_3: None}, "missing: encoder.layer.3.output.dense.bias"),
        ({LAYER_3: np.full(64, np.nan, np.float32)}, "not finite"),
        ({"roberta.embeddings.token_type_embeddings.weight": None}, "missing: emb"),
        ({"roberta.embeddings.position_embeddings.weight": None}, "missing: emb"),
        ({"lm_head.bias": np.zeros(200, np.float32)}, r"found \[200\]"),
        (
            {f"roberta.encoder.layer.{i}.attention.self.key.weight": None
             for i in range(4)},
            "missing: encoder.layer.0.attention.self.key.weight, encoder.layer.1",
        ),
    ],
)  # fmt: skip
def test_a_damaged_language_model_is_named(tmp_path, changes, complaint):
    state = {n: v for n, v in (xlm_r() | changes).items() if v is not None}
    save_file(state, path := tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=complaint):
        text_encoders.read(path)


def test_what_is_no_language_model_is_refused(tmp_path):
    path = written(tmp_path / "x.safetensors", {"a": np.ones(3, np.float32)})
    with pytest.raises(WeightsError, match="expected RoBERTa, XLM-R or BERT"):
        text_encoders.read(path)


def test_a_damaged_safetensors_file_is_one_line(tmp_path):
    path = written(tmp_path / "x.safetensors", xlm_r())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="not a whole .safetensors file") as error:
        text_encoders.read(path)
    assert error.value.exit_code == 2 and "\n" not in str(error.value)
