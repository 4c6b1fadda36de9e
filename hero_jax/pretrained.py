"""Released HERO weights <-> our parameter tree: the one table of names."""

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

import jax
import numpy as np

from hero_jax.errors import UserError
from hero_jax.model.fusion import Fusion
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.paths import path_name
from hero_jax.types import PyTree

StateDict = Mapping[str, np.ndarray]
"""Official name -> array, as `torch.load` or a safetensors file gives it."""

LAYER = {
    "attention/query": "attention.self.query",
    "attention/key": "attention.self.key",
    "attention/value": "attention.self.value",
    "attention/output/dense": "attention.output.dense",
    "attention/output/norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "output/dense": "output.dense",
    "output/norm": "output.LayerNorm",
}
DECODER_LAYER = {
    "self_attention/query": "self_attention.query",
    "self_attention/key": "self_attention.key",
    "self_attention/value": "self_attention.value",
    "self_attention/output/dense": "add_norm_1.dense",
    "self_attention/output/norm": "add_norm_1.LayerNorm",
    "cross_attention/query": "dec_enc_attention.query",
    "cross_attention/key": "dec_enc_attention.key",
    "cross_attention/value": "dec_enc_attention.value",
    "cross_attention/output/dense": "add_norm_2.dense",
    "cross_attention/output/norm": "add_norm_2.LayerNorm",
    "inner": "intermidiate.dense",  # so it is spelt
    "output/dense": "add_norm_3.dense",
    "output/norm": "add_norm_3.LayerNorm",
}


def _tower(ours: str, official: str) -> dict[str, str]:
    """{layer} stands for the number that our leading axis counts."""
    return {
        f"{ours}/layers/{path}": f"{official}.encoder.layer.{{layer}}.{name}"
        for path, name in LAYER.items()
    }


def _mlp(ours: str, official: str) -> dict[str, str]:
    layers = {"inner": "linear_1", "norm": "LayerNorm", "outer": "linear_2"}
    return {f"{ours}/{k}": f"{official}.{name}" for k, name in layers.items()}


MODULES = {
    "text_embedding/word": "v_encoder.f_encoder.embeddings.word_embeddings",
    "text_embedding/position": "v_encoder.f_encoder.embeddings.position_embeddings",
    "text_embedding/type": "v_encoder.f_encoder.embeddings.token_type_embeddings",
    "text_embedding/norm": "v_encoder.f_encoder.embeddings.LayerNorm",
    "frame_embedding/mask/rows": "v_encoder.f_encoder.img_embeddings.mask_embedding",
    "frame_embedding/feature_norm": "v_encoder.f_encoder.img_embeddings.img_LayerNorm",
    "frame_embedding/projection": "v_encoder.f_encoder.img_embeddings.img_linear",
    "frame_embedding/position": (
        "v_encoder.f_encoder.img_embeddings.position_embeddings"
    ),
    "frame_embedding/norm": "v_encoder.f_encoder.img_embeddings.LayerNorm",
    **_tower("cross_modal", "v_encoder.f_encoder"),
    "word_head": "v_encoder.f_encoder.lm_head",
    "word_head/dense": "v_encoder.f_encoder.lm_head.dense",
    "word_head/norm": "v_encoder.f_encoder.lm_head.LayerNorm",
    "frame_mask/rows": "v_encoder.mask_embedding",
    "frame_transform/norm": "v_encoder.frame_transform.LayerNorm",
    "frame_transform/dense": "v_encoder.frame_transform.net.1",
    "fusion/subtitles/norm": "v_encoder.sub_transform.LayerNorm",
    "fusion/subtitles/dense": "v_encoder.sub_transform.net.1",
    "fusion/joined/norm": "v_encoder.video_sub_feature_transform.LayerNorm",
    "fusion/joined/dense": "v_encoder.video_sub_feature_transform.net.1",
    "fusion/frames/feature_norm": "v_encoder.frame_embeddings.img_LayerNorm",
    "fusion/frames/projection": "v_encoder.frame_embeddings.img_linear",
    "fusion/frames/position": "v_encoder.frame_embeddings.position_embeddings",
    "fusion/frames/norm": "v_encoder.frame_embeddings.LayerNorm",
    "fusion/position": "v_encoder.sub_embeddings.position_embeddings",
    "fusion/type": "v_encoder.sub_embeddings.token_type_embeddings",
    "fusion/norm": "v_encoder.sub_embeddings.LayerNorm",
    "temporal_embedding/position": "v_encoder.c_encoder.embeddings.position_embeddings",
    "temporal_embedding/norm": "v_encoder.c_encoder.embeddings.LayerNorm",
    **_tower("temporal", "v_encoder.c_encoder"),
    "frame_regression/inner": "v_encoder.feat_regress.net.0",
    "frame_regression/norm": "v_encoder.feat_regress.net.2",
    "frame_regression/outer": "v_encoder.feat_regress.net.3",
    "order_head/inner": "v_encoder.fom_output.linear_1",
    "order_head/norm": "v_encoder.fom_output.LayerNorm",
    "order_head/outer": "v_encoder.fom_output.linear_2",
    "query/projection/norm": "q_feat_attn.query_input_proj.LayerNorm",
    "query/projection/dense": "q_feat_attn.query_input_proj.net.1",
    "query/position/position": "q_feat_attn.query_pos_embed.position_embeddings",
    "query/position/norm": "q_feat_attn.query_pos_embed.LayerNorm",
    "query/attention/query": "q_feat_attn.query_self_attention.self.query",
    "query/attention/key": "q_feat_attn.query_self_attention.self.key",
    "query/attention/value": "q_feat_attn.query_self_attention.self.value",
    "query/attention/output/dense": "q_feat_attn.query_self_attention.output.dense",
    "query/attention/output/norm": "q_feat_attn.query_self_attention.output.LayerNorm",
    "query/importance": "q_feat_attn.modular_vector_mapping",
    "span/projection": "video_query_linear",
    "span/start": "video_st_predictor",
    "span/end": "video_ed_predictor",
    "answer/verdict/pool": "qa_pool",
    **_mlp("answer/verdict/score", "qa_pred_head"),
    "answer/pool": "st_ed_pool",
    **_mlp("answer/boundaries", "st_ed_pred_head"),
    "statement/pool": "violin_pool",
    **_mlp("statement/score", "violin_pred_head"),
    "caption/position": "position_embeddings",
    "caption/norm": "emb_LayerNorm",
    "caption/language": "caption_language_embeddings",  # ours: one language has none
    **{
        f"caption/layers/{path}": f"decoder.layer.{{layer}}.{name}"
        for path, name in DECODER_LAYER.items()
    },
}
"""Our module path -> official module name, for every part of the official models."""

PARTS = {
    "query": "q_feat_attn.",
    "span": "video_",
    "answer": "qa_pool.",
    "statement": "violin_pool.",
    "caption": "emb_LayerNorm.",
    "words": "v_encoder.f_encoder.lm_head.dense.",
}
"""Parts that not every model has -> what names in their weights begin with."""
RETRIEVAL = ("query", "span")
"""The parts that pre-training and retrieval have."""

WORDS = "v_encoder.f_encoder.embeddings.word_embeddings.weight"
POSITIONS = "position_embeddings.weight"
"""Of captions, the only table outside the encoder."""
TIED = "v_encoder.f_encoder.lm_head.decoder.weight"
"""The word table a second time."""

UNUSED = re.compile(r"v_encoder\.[fc]_encoder\.pooler\.dense\.(weight|bias)")
"""Parameters that no task of the official code uses (H-18): carried over, never run."""
UNUSED_BY_FUSION = re.compile(
    r"v_encoder\.(mask_embedding|feat_regress|fom_output|frame_transform"
    r"|sub_embeddings\.word_embeddings|frame_embeddings\.mask_embedding"
    r"|f_encoder\.img_embeddings|c_encoder\.embeddings)\..*"
)
"""What VALUE's variants hold beyond what they run (A.9): carried over, too."""
FUSIONS: Mapping[str, Fusion] = {
    "v_encoder.video_sub_feature_transform.": "concat",
    "v_encoder.sub_embeddings.": "sequence",
    "v_encoder.sub_transform.": "add",
}
"""What a name in the weights of a variant begins with, in the order of asking."""
NOT_PARAMETERS = re.compile(
    r"vocab_padded|(.*\.)?pad|decoder\.tri_mask|(.*\.)?\w*loss_func\.one_hot"
)
"""Buffers and flags that files hold among the weights (H-66)."""


class WeightsError(UserError):
    """A file of weights does not fit the model."""


def from_official(state: StateDict, config: HeroConfig) -> PyTree:
    """All of `Hero`'s parameters that a state dict has, float32.

    Raises WeightsError naming every entry that is missing, unknown or misshapen.
    """
    shapes = hero_shapes(config, parts_of(state))
    _check(state, shapes)
    read = lambda path, leaf: _read(path, leaf, state)
    return jax.tree_util.tree_map_with_path(read, shapes)


def parts_of(state: StateDict) -> tuple[str, ...]:
    """The parts outside the encoder that some weights belong to.

    Those of retrieval are never without one another.
    """
    found = {
        part for part, start in PARTS.items() if any(n.startswith(start) for n in state)
    }
    found |= set(RETRIEVAL) if found & set(RETRIEVAL) else set()
    return tuple(part for part in PARTS if part in found)


def fusion_of(state: StateDict) -> Fusion:
    """How the model that some weights belong to joins subtitles and frames."""
    found = (
        k for start, k in FUSIONS.items() if any(n.startswith(start) for n in state)
    )
    return next(found, "local")


def leaves_of(state: StateDict, hero: PyTree) -> dict[str, np.ndarray]:
    """Path -> values of those of our parameters that a state dict has, float32.

    Raises WeightsError where some layers of a tower are there and others are not.
    """
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(hero):
        names = _official_names(path, leaf)
        here = [name for name in names if name in state]
        if here and len(here) < len(names):
            absent = ", ".join(name for name in names if name not in state)
            raise WeightsError(f"weights do not fit the model; missing: {absent}")
        if here:
            found[path_name(path)] = _read(path, leaf, state)
    return found


def _read(path: tuple[Any, ...], leaf: Any, state: StateDict) -> np.ndarray:
    """One of our leaves out of its official entries."""
    ours = [
        _to_our_layout(_leaf(path), np.asarray(state[name], np.float32))
        for name in _official_names(path, leaf)
    ]
    if not ours:  # a tower without layers
        return np.zeros(leaf.shape, np.float32)
    return np.stack(ours) if _is_stacked(path) else ours[0]


def names_of(shapes: PyTree) -> tuple[str, ...]:
    """The official entries of some parameters."""
    leaves = jax.tree_util.tree_leaves_with_path(shapes)
    return tuple(name for leaf in leaves for name in _official_names(*leaf))


def to_official(
    params: PyTree, carried: StateDict | None = None
) -> dict[str, np.ndarray]:
    """Our parameters (or gradients) under official names and in official layout.

    Holds what `params` holds; `carried` adds the entries that a file came with and
    that the model has no use for.
    """
    state = dict(carried or {})
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        layers = np.asarray(leaf) if _is_stacked(path) else [np.asarray(leaf)]
        for name, array in zip(_official_names(path, leaf), layers):
            state[name] = _to_official_layout(_leaf(path), array)
    if "word_head" in params:
        state[TIED] = state[WORDS]
    return state


def carried_over(state: StateDict) -> dict[str, np.ndarray]:
    """The known entries of a state dict that our tree has no place for."""
    is_local = fusion_of(state) == "local"
    known = lambda name: _is_known(name, is_local=is_local)
    return {name: value for name, value in state.items() if known(name)}


@functools.lru_cache(maxsize=8)
def hero_shapes(config: HeroConfig, parts: tuple[str, ...] = RETRIEVAL) -> PyTree:
    """Every parameter of the encoder and some parts, as shapes; to be read only."""
    initialise = functools.partial(_initialise, config, parts)
    return jax.eval_shape(initialise, jax.random.key(0))


def _initialise(config: HeroConfig, parts: tuple[str, ...], key: Any) -> PyTree:
    slots, one = np.zeros((1, 2), np.int32), np.zeros(1, np.int32)
    features = np.zeros((1, 1, config.feature_width), np.float32)
    mask, nowhere = np.ones((1, 1), bool), np.full((1, 1), -1)
    videos = VideoBatch(features, mask, slots, slots, slots, slots, subtitle=nowhere)
    texts = TextBatch(slots, slots, slots, one, one)
    drawn = Hero(config).init(key, videos, texts, parts, method=_use_everything)
    return drawn["params"]


def draw(config: HeroConfig, parts: tuple[str, ...], *, seed: int) -> PyTree:
    """The encoder and some parts as the official initialisers begin them (A.11)."""
    return jax.jit(functools.partial(_initialise, config, parts))(jax.random.key(seed))


def _use_everything(
    hero: Hero, videos: VideoBatch, texts: TextBatch, parts: tuple[str, ...]
) -> None:
    """Touches each part once, so that each gets its parameters."""
    is_local, mask = hero.config.fusion == "local", videos.frame_mask
    frames = hero.encode_videos(videos, frame_is_masked=mask if is_local else None)
    if not is_local and {"answer", "statement"} & set(parts):
        hero.read_beside(videos, texts)  # a sequence has temporal positions here alone
    use = {
        "query": lambda: hero.encode_queries(texts),
        "span": lambda: hero.span_logits(frames[:, 0], frames, mask),
        "answer": lambda: hero.answer(frames[None], mask[None]),
        "statement": lambda: hero.statement(frames, mask),
        "caption": lambda: hero.caption_states(texts.tokens, frames, mask, texts.row),
        "words": lambda: hero.word_logits(frames[0]),
    }
    for part in parts:
        use[part]()
    if is_local:  # the variants have no heads of pre-training (A.9)
        hero.word_logits(frames[0])
        hero.frame_features(frames)
        hero.frame_order(frames)


@dataclasses.dataclass(frozen=True)
class Differences:
    """In which a state dict and a model do not fit one another."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    misshapen: Mapping[str, str]
    """Entry -> what it is, and what the model has."""

    def __str__(self) -> str:
        lists = {
            "missing": ", ".join(self.missing),
            "unknown": ", ".join(self.unknown),
            "misshapen": ", ".join(
                f"{n} is {how}" for n, how in self.misshapen.items()
            ),
        }
        return "; ".join(f"{kind}: {names}" for kind, names in lists.items() if names)


def differences(state: StateDict, shapes: PyTree) -> Differences:
    """What of a state dict fits none of the parameters, and the other way round."""
    expected = {
        name: shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
        for name, shape in _official_shapes(path, leaf)
    }
    given = {name: np.shape(value) for name, value in state.items()}
    is_known = functools.partial(_is_known, is_local="fusion" not in shapes)
    return Differences(
        tuple(name for name in expected if name not in given),
        tuple(n for n in given if n not in expected and not is_known(n)),
        {
            name: f"{given[name]}, not {shape}"
            for name, shape in expected.items()
            if name in given and given[name] != shape
        },
    )


def _check(state: StateDict, shapes: PyTree) -> None:
    if found := str(differences(state, shapes)):
        raise WeightsError(
            f"weights do not fit the model; {found}; "
            "give the config these weights were trained with"
        )
    if TIED in state and not np.array_equal(state[TIED], state[WORDS]):
        raise WeightsError(
            f"weights: {TIED} differs from {WORDS}, but the model has one word table "
            "for both: remove the one that is wrong"
        )


def _is_known(name: str, *, is_local: bool) -> bool:
    """Whether an entry that no parameter has a use for may stand among the weights."""
    patterns = [UNUSED, NOT_PARAMETERS] + ([] if is_local else [UNUSED_BY_FUSION])
    return name == TIED or any(pattern.fullmatch(name) for pattern in patterns)


def _official_shapes(
    path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct
) -> Iterator[tuple[str, tuple[int, ...]]]:
    shape = leaf.shape[1:] if _is_stacked(path) else leaf.shape
    official = jax.eval_shape(
        lambda x: _to_official_layout(_leaf(path), x),
        jax.ShapeDtypeStruct(shape, leaf.dtype),
    )
    for name in _official_names(path, leaf):
        yield name, official.shape


def _official_names(path: tuple[Any, ...], leaf: Any) -> list[str]:
    """The official entries of one of our leaves: one, or one for each layer."""
    *module, kind = (key.key for key in path)
    suffix = ".bias" if kind == "bias" else ".weight"
    name = MODULES["/".join(module)] + suffix
    if not _is_stacked(path):
        return [name]
    return [name.format(layer=layer) for layer in range(leaf.shape[0])]


def _is_stacked(path: tuple[Any, ...]) -> bool:
    return any(key.key == "layers" for key in path)


def _leaf(path: tuple[Any, ...]) -> str:
    return path[-1].key


def _to_our_layout(kind: str, array: Any) -> Any:
    """PyTorch keeps a linear layer as [out, in] and a filter as [1, 1, size]."""
    if kind == "kernel":
        return array.T
    return array.reshape(-1) if kind == "filter" else array


def _to_official_layout(kind: str, array: Any) -> Any:
    if kind == "kernel":
        return array.T
    return array[None, None] if kind == "filter" else array


def num_layers(numbers: Set[int]) -> int:
    """Up to the highest; a stray number far above the others is no layer."""
    highest = max(numbers, default=-1) + 1
    if highest <= 2 * len(numbers):
        return highest
    return next(n for n in range(highest + 1) if n not in numbers)
