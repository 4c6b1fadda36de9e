"""The sizes of a released model: from its config file, or from its weights alone."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from hero_jax import pretrained
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.pretrained import StateDict, WeightsError

HEAD_WIDTH = 64
"""Of an attention head in every released model; tensors do not tell."""
PADDED_WORDS, WORDS = 50272, 50265
"""Rows of RoBERTa's word table as HERO pads it, and the words among them (A.12)."""
MOST_LAYERS = 1000
"""Of a tower; more is a damaged config file, and would take all memory."""
T = TypeVar("T")


def model_config(model: Mapping[str, Any], state: StateDict) -> HeroConfig:
    """The sizes of a model from its official config file and its weights.

    The weights decide where the file is known to lie: a vocabulary padded after the
    file was written leaves the difference as unused words (A.12), and the number of
    frames in a segment is the length of their table (A.13).
    """
    rows = lambda name: _rows(state, name)
    size = lambda part, field: _size(model, part, field)
    vocab_size = rows(pretrained.WORDS)
    # The config of a captioner has no queries; that of any other may have a decoder.
    query = "q_config" if "q_config" in model else "f_config"
    has_decoder = "caption" in pretrained.parts_of(state)
    kind = pretrained.fusion_of(state)
    frames = "v_encoder.f_encoder.img_embeddings"
    if kind == "sequence" or f"{frames}.img_LayerNorm.weight" not in state:
        frames = "v_encoder.frame_embeddings"
    widths = f"{frames}.img_LayerNorm.weight"
    if kind in ("add", "concat"):
        widths = "v_encoder.frame_transform.LayerNorm.weight"
    positions = f"{frames}.position_embeddings.weight"
    has_positions = kind in ("local", "sequence") or positions in state
    return _made(
        HeroConfig,
        vocab_size=vocab_size,
        unused_words=max(vocab_size - size("f_config", "vocab_size"), 0),
        feature_width=rows(widths),
        max_positions=size("f_config", "max_position_embeddings"),
        max_segment_frames=rows(positions) if has_positions else 100,
        max_frames=size("c_config", "max_position_embeddings"),
        max_query_positions=size(query, "max_position_embeddings"),
        cross_modal=_transformer_config(model, "f_config"),
        temporal=_transformer_config(model, "c_config"),
        fusion=kind,
        query_heads=size(query, "num_attention_heads"),
        decoder=_transformer_config(model, "d_config") if has_decoder else None,
        max_caption_positions=rows(pretrained.POSITIONS) if has_decoder else 0,
        dropout=_share(model, "f_config", "hidden_dropout_prob"),
    )


def sizes_of(state: StateDict) -> dict[str, dict[str, Any]]:
    """An official model config, as far as tensors tell; the rest is as released.

    Heads are 64 wide and dropout is 0.1 in every released model. 50272 rows of words
    are RoBERTa's 50265, padded.
    """
    encoder = "v_encoder.f_encoder"
    words = _rows(state, f"{encoder}.embeddings.word_embeddings.weight")
    text = _tower(state, f"{encoder}.encoder", "attention.self.query", "intermediate")
    video = _tower(
        state, "v_encoder.c_encoder.encoder", "attention.self.query", "intermediate"
    )
    sizes = {
        "f_config": text
        | {
            "vocab_size": WORDS if words == PADDED_WORDS else words,
            "max_position_embeddings": _rows(
                state, f"{encoder}.embeddings.position_embeddings.weight"
            ),
        },
        "c_config": text | video | {"max_position_embeddings": _rows(
            state, "v_encoder.c_encoder.embeddings.position_embeddings.weight"
        )},
    }  # fmt: skip
    queries = "q_feat_attn.query_pos_embed.position_embeddings.weight"
    if queries in state:
        sizes["q_config"] = text | {"max_position_embeddings": _rows(state, queries)}
    if "caption" in pretrained.parts_of(state):
        sizes["d_config"] = _tower(
            state, "decoder", "self_attention.query", "intermidiate"
        )
    return sizes


def _tower(state: StateDict, prefix: str, query: str, inner: str) -> dict[str, Any]:
    """The sizes of a stack of layers; a missing one has no layers."""
    pattern = re.compile(rf"{re.escape(prefix)}\.layer\.(\d{{1,4}})\.")
    numbers = {int(m[1]) for name in state if (m := pattern.match(name))}
    sizes: dict[str, Any] = {"num_hidden_layers": pretrained.num_layers(numbers)}
    if not numbers:
        return sizes
    width = _rows(state, f"{prefix}.layer.0.{query}.weight")
    if width % HEAD_WIDTH:
        raise WeightsError(
            f"weights: {prefix} is {width} wide, so the number of its attention heads "
            f"cannot be told; name the official model config with --config"
        )
    return sizes | {
        "hidden_size": width,
        "num_attention_heads": width // HEAD_WIDTH,
        "intermediate_size": _rows(state, f"{prefix}.layer.0.{inner}.dense.weight"),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
    }


def _transformer_config(model: Mapping[str, Any], part: str) -> TransformerConfig:
    if (activation := _field(model, part, "hidden_act")) != "gelu":
        raise WeightsError(
            f"model config: {part}.hidden_act is {activation!r}, but HERO has 'gelu'"
        )
    return _made(
        TransformerConfig,
        width=_size(model, part, "hidden_size"),
        num_heads=_size(model, part, "num_attention_heads"),
        num_layers=_size(model, part, "num_hidden_layers", least=0, most=MOST_LAYERS),
        mlp_width=_size(model, part, "intermediate_size"),
        dropout=_share(model, part, "hidden_dropout_prob"),
    )


def _made(kind: Callable[..., T], **fields: Any) -> T:
    """The configuration; sizes that do not go together are the file's fault."""
    try:
        return kind(**fields)
    except ValueError as error:
        raise WeightsError(
            f"model config: {error}: give the official config file"
        ) from None


def _size(
    model: Mapping[str, Any], part: str, field: str, least: int = 1, most: int = 2**31
) -> int:
    value = _field(model, part, field)
    if type(value) is not int or not least <= value <= most:
        raise WeightsError(
            f"model config: {part}.{field}: found {str(value)[:40]}, expected a whole "
            f"number from {least} to {most}: give the official config file"
        )
    return value


def _share(model: Mapping[str, Any], part: str, field: str) -> float:
    value = _field(model, part, field)
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise WeightsError(
            f"model config: {part}.{field}: found {str(value)[:40]}, expected a number "
            "from 0 to less than 1: give the official config file"
        )
    return float(value)


def _field(model: Mapping[str, Any], part: str, field: str) -> Any:
    try:
        return model[part][field]
    except (KeyError, TypeError):
        raise WeightsError(
            f"model config: {part}.{field} is missing: give the official config file"
        ) from None


def _rows(state: StateDict, name: str) -> int:
    """Rows of a table that tells a size of the model."""
    if name not in state:
        raise WeightsError(
            f"weights: {name} is missing, so this is no model of HERO; RoBERTa's and "
            "other weights begin a training run (TrainConfig.start)"
        )
    shape = np.shape(state[name])
    if not shape or 0 in shape:  # without values a shape costs nothing to claim
        raise WeightsError(
            f"weights: {name}: found the shape {list(shape)}, expected rows: get the "
            "file again from its source"
        )
    return shape[0]
