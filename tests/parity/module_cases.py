"""Single modules: ours with the recorded weights, small enough to show an epsilon."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from parity_harness import Arrays, Case, Golden, Result

from hero_jax.losses.label_smoothing import LabelSmoothing
from hero_jax.model import moment
from hero_jax.model.embeddings import FrameEmbedding, TextEmbedding
from hero_jax.model.language_model import WordHead
from hero_jax.model.layers import (
    FrameRegression,
    MlpHead,
    Numerics,
    PositionEmbedding,
    Projection,
    gelu,
)
from hero_jax.model.official import text_batch
from hero_jax.model.query import QueryEncoder
from hero_jax.model.transformer import Residual, Transformer, TransformerConfig


def linear(state: Arrays, name: str) -> dict[str, np.ndarray]:
    leaf = {"kernel": state[f"{name}.weight"].T}
    return leaf | ({"bias": state[f"{name}.bias"]} if f"{name}.bias" in state else {})


def norm(state: Arrays, name: str) -> dict[str, np.ndarray]:
    return {"scale": state[f"{name}.weight"], "bias": state[f"{name}.bias"]}


def embedding(state: Arrays, name: str) -> dict[str, np.ndarray]:
    return {"embedding": state[f"{name}.weight"]}


def residual(state: Arrays, name: str = "") -> dict[str, Any]:
    return {
        "dense": linear(state, f"{name}dense"),
        "norm": norm(state, f"{name}LayerNorm"),
    }


def attention(state: Arrays, name: str) -> dict[str, Any]:
    parts = {p: linear(state, f"{name}.self.{p}") for p in ("query", "key", "value")}
    return parts | {"output": residual(state, f"{name}.output.")}


def layer(state: Arrays, number: int) -> dict[str, Any]:
    name = f"layer.{number}"
    return {
        "attention": attention(state, f"{name}.attention"),
        "inner": linear(state, f"{name}.intermediate.dense"),
        "output": residual(state, f"{name}.output."),
    }


def module(golden: Golden, case: Case, dtype: str) -> Result:
    """`module_*`: one module at a time, small enough to show a wrong epsilon."""
    name = case.name.removeprefix("module_")
    numerics = Numerics(dtype, official=True)
    compute = numerics.compute
    given = {
        key: value.astype(compute) if value.dtype == np.float32 else value
        for key, value in case.inputs.items()
    }
    if case.meta["weights"] is None:
        return Result(MODULES[name](numerics, given))
    prefix = re.fullmatch(r".*\[(\w+)\.\*\]", case.meta["weights"])[1] + "."
    state = {
        key.removeprefix(prefix): value
        for key, value in golden.weights("modules").items()
        if key.startswith(prefix)
    }
    epsilons: set[float] = set()

    def watch(call, args, kwargs, context):
        if isinstance(context.module, nn.LayerNorm):
            epsilons.add(context.module.epsilon)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        outputs = MODULES[name](numerics, given, state, golden.settings)
    return Result(outputs, facts={"layer_norm_eps": sorted(epsilons)})


def apply(module: nn.Module, params: Any, *args: Any, **kwargs: Any) -> Any:
    return module.apply({"params": params}, *args, **kwargs)


def bert_layers(numerics, given, state, settings):
    numbers = sorted({int(n.split(".")[1]) for n in state})
    sizes = settings["f"]
    config = TransformerConfig(
        width=sizes["hidden_size"],
        num_heads=sizes["num_attention_heads"],
        num_layers=len(numbers),
        mlp_width=sizes["intermediate_size"],
    )
    layers = [layer(state, number) for number in numbers]
    params = {"layers": jax.tree.map(lambda *x: np.stack(x), *layers)} if layers else {}
    tower = Transformer(config, numerics)
    return {"out": apply(tower, params, given["x"], given["att"], train=False)}


def residual_module(numerics, given, state, settings):
    block = Residual(0.0, numerics)
    out = apply(block, residual(state), given["x"], given["y"], train=False)
    return {"out": out}


def feat_regress(numerics, given, state, settings):
    params = {
        "inner": linear(state, "net.0"),
        "norm": norm(state, "net.2"),
        "outer": linear(state, "net.3"),
    }
    head = FrameRegression(params["outer"]["kernel"].shape[1], numerics)
    return {"out": apply(head, params, given["x"])}


def mlp_layer(numerics, given, state, settings):
    params = {
        "inner": linear(state, "linear_1"),
        "norm": norm(state, "LayerNorm"),
        "outer": linear(state, "linear_2"),
    }
    head = MlpHead(params["outer"]["kernel"].shape[1], numerics)
    return {"out": apply(head, params, given["x"])}


def linear_layer(numerics, given, state, settings):
    params = {"norm": norm(state, "LayerNorm"), "dense": linear(state, "net.1")}
    block = Projection(params["dense"]["kernel"].shape[1], 0.0, numerics)
    return {"out": apply(block, params, given["x"])}


def lm_head(numerics, given, state, settings):
    params = {**residual(state), "bias": state["bias"]}
    return {
        "out": apply(WordHead(numerics), params, given["x"], state["decoder.weight"])
    }


def position_embedding(numerics, given, state, settings):
    params = {
        "position": embedding(state, "position_embeddings"),
        "norm": norm(state, "LayerNorm"),
    }
    block = PositionEmbedding(len(params["position"]["embedding"]), numerics)
    positions = np.arange(given["x"].shape[1])[None]
    return {"out": apply(block, params, given["x"], positions)}


def image_embeddings(numerics, given, state, settings):
    params = {
        "mask": {"rows": embedding(state, "mask_embedding")},
        "feature_norm": norm(state, "img_LayerNorm"),
        "projection": linear(state, "img_linear"),
        "position": embedding(state, "position_embeddings"),
        "norm": norm(state, "LayerNorm"),
    }
    width = params["projection"]["kernel"].shape[1]
    rows = len(params["position"]["embedding"])
    block = FrameEmbedding(given["img"].shape[2], rows, width, numerics)
    positions = np.broadcast_to(
        np.arange(given["img"].shape[1]), given["img"].shape[:2]
    )

    def embed(block: FrameEmbedding, is_masked):
        projected = block.project(given["img"], is_masked)
        return block(projected, positions, given["typ"][0, 0])

    masks = {
        "nomask": None,
        "mask": given["mask"],
        "allfalse": np.zeros_like(given["mask"]),
    }
    return {k: apply(block, params, mask, method=embed) for k, mask in masks.items()}


def sub_embeddings(numerics, given, state, settings):
    params = {
        "word": embedding(state, "word_embeddings"),
        "position": embedding(state, "position_embeddings"),
        "type": embedding(state, "token_type_embeddings"),
        "norm": norm(state, "LayerNorm"),
    }
    rows, width = params["word"]["embedding"].shape
    num_positions = len(params["position"]["embedding"])
    block = TextEmbedding(rows, num_positions, width, numerics)
    is_word = given["ids"] != 1
    positions = {
        "out": np.broadcast_to(given["pos"], given["ids"].shape),
        "out_default_pos": 1 + is_word * np.cumsum(is_word, axis=1),
    }
    return {k: apply(block, params, given["ids"], p) for k, p in positions.items()}


def query_feat_encoder(numerics, given, state, settings):
    params = {
        "projection": {
            "norm": norm(state, "query_input_proj.LayerNorm"),
            "dense": linear(state, "query_input_proj.net.1"),
        },
        "position": {
            "position": embedding(state, "query_pos_embed.position_embeddings"),
            "norm": norm(state, "query_pos_embed.LayerNorm"),
        },
        "attention": attention(state, "query_self_attention"),
        "importance": linear(state, "modular_vector_mapping"),
    }
    num_positions = len(params["position"]["position"]["embedding"])
    heads = settings["q"]["num_attention_heads"]
    width = given["x"].shape[2]
    encoder = QueryEncoder(width, heads, num_positions, 0.0, numerics)
    shape = given["x"].shape[:2]
    texts = text_batch(np.zeros(shape, int), np.arange(shape[1])[None], given["att"])
    attended = apply(
        encoder, params, given["x"], texts.segment, texts.position, method="attended"
    )
    weights = apply(encoder, params, attended, texts.segment, method="weights")
    return {
        "attended": attended,
        "modular_att": weights[:, 0],
        "modular": apply(encoder, params, given["x"], texts),
    }


def functions(numerics, given):
    mask = given["mask"] > 0
    identity = np.array([0, 0, 1, 0, 0], numerics.compute)
    is_label = given["ls_target"] != -1
    return {
        "gelu": gelu(jnp.asarray(given["x"])),
        "mask_logits": moment.boundary_logits(
            given["target"], mask, identity, numerics
        ),
        "normalize_eps1e-5": moment.normalise(jnp.asarray(given["norm_x"])),
        "label_smoothing_0.1": LabelSmoothing(0.1).each(
            given["ls_logits"], given["ls_target"], is_label
        )[is_label],
    }


MODULES: Mapping[str, Callable[..., dict[str, Any]]] = {
    "bert_layer": bert_layers,
    "bert_encoder_allmasked": bert_layers,
    "bert_output": residual_module,
    "bert_self_output": residual_module,
    "feat_regress": feat_regress,
    "mlp_layer": mlp_layer,
    "linear_layer": linear_layer,
    "lm_head": lm_head,
    "frame_embeddings": position_embedding,
    "query_embeddings": position_embedding,
    "image_embeddings": image_embeddings,
    "sub_embeddings": sub_embeddings,
    "query_feat_encoder": query_feat_encoder,
    "functions": functions,
}

HANDLERS = {"module_.*": module}


# --- epsilons -----------------------------------------------------------------------


def change_with_wrong_epsilons(golden: Golden, case: Case) -> dict[str, float]:
    """How much of each output, in 64 bits, hangs on which of the two it is (A3)."""
    right = with_epsilons(golden, case, lambda epsilon: epsilon)
    other = lambda epsilon: 1e-5 if epsilon == 1e-12 else 1e-12
    wrong = with_epsilons(golden, case, other)
    return {
        name: float(np.abs(wrong[name] - right[name]).max() / np.abs(right[name]).max())
        for name in right
    }


def with_epsilons(
    golden: Golden, case: Case, change: Callable[[float], float]
) -> Arrays:
    """The outputs in 64 bits with other epsilons."""

    def norm(call, args, kwargs, context):
        if isinstance(context.module, nn.LayerNorm):
            other = change(context.module.epsilon)
            object.__setattr__(context.module, "epsilon", other)
        return call(*args, **kwargs)

    with nn.intercept_methods(norm), jax.enable_x64(True):
        return jax.tree.map(np.asarray, module(golden, case, "float64").outputs)
