"""The encoder and retrieval: our model on the inputs of each recorded case."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from parity_harness import Arrays, Case, Golden, Result

from hero_jax import pretrained
from hero_jax.losses.cross_entropy import cross_entropies
from hero_jax.losses.ranking import VSM
from hero_jax.losses.span import SpanLoss, boundary_losses
from hero_jax.model import moment
from hero_jax.model.hero import Hero, onto_frames
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.model.official import row_batch, text_batch, video_batch
from hero_jax.model.transformer import (
    Transformer,
)


def load(golden: Golden, stem: str, dtype: str) -> tuple[Hero, Any]:
    """The model in official mode with some recorded weights."""
    config = dataclasses.replace(golden.config(stem), dtype=dtype)
    return Hero(config), pretrained.from_official(golden.weights(stem), config)


def pooled(weights: Arrays, hidden: Any) -> Any:
    """The official pooler, which no task reads and our model does not have."""
    dense = "v_encoder.f_encoder.pooler.dense"
    linear = hidden[:, 0] @ weights[f"{dense}.weight"].T + weights[f"{dense}.bias"]
    return jnp.tanh(linear)


# --- The cross-modal tower alone ---


def cross_modal(golden: Golden, case: Case, dtype: str) -> Result:
    """`fenc_repr`, `fenc_repr_masked`, `fenc_txt`: hidden states layer by layer."""
    hero, params = load(golden, case.meta["weights"], dtype)
    arrays = case.inputs
    if "input_ids" in arrays:
        batch: Any = text_batch(
            arrays["input_ids"], arrays["pos_ids"], arrays["attn_masks"]
        )
        embed = lambda h, b: h.text_embedding(b.tokens, b.position)
    else:
        batch, is_masked = row_batch(arrays), arrays.get("f_v_masks")
        embed = lambda h, b: h.embed_rows(b, frame_is_masked=is_masked)
    embedded = jax.jit(lambda p, b: hero.apply({"params": p}, b, method=embed))
    hidden = embedded(params, batch)
    outputs = {"embedding_output": hidden}
    for number in range(hero.config.cross_modal.num_layers):
        layers = params["cross_modal"]
        hidden = one_layer(hero, layers, number, hidden, batch.segment)
        outputs[f"layer_{number}"] = hidden
    outputs["sequence_output"] = hidden
    weights = golden.weights(case.meta["weights"])
    outputs["pooled_output"] = pooled(weights, hidden)
    return Result(outputs)


@functools.partial(jax.jit, static_argnums=0)
def one_layer(hero: Hero, layers: Any, number: int, hidden: Any, segment: Any) -> Any:
    """One program for every layer of a tower."""
    params = jax.tree.map(lambda x: x[number][None], layers)
    config = dataclasses.replace(hero.config.cross_modal, num_layers=1)
    tower = Transformer(config, hero.config.numerics)
    return tower.apply({"params": params}, hidden, segment, train=False)


def cross_modal_gradient(golden: Golden, case: Case, dtype: str) -> Result:
    """`fenc_repr_grad`: of a random projection of all slots, padding included."""
    hero, params = load(golden, case.meta["weights"], dtype)
    weights = golden.weights(case.meta["weights"])
    pooler = {k: v for k, v in weights.items() if "f_encoder.pooler" in k}
    batch = row_batch(case.inputs)

    @jax.jit
    def loss(params, pooler):
        hidden = hero.apply({"params": params}, batch, method="cross_modal_rows")
        top = pooled(pooler, hidden)
        total = jnp.sum(hidden * case.inputs["proj"]) + jnp.sum(top)
        outputs = {"sequence_output": hidden, "pooled_output": top, "loss": total}
        return total, outputs

    (of_ours, of_pooler), outputs = jax.grad(loss, (0, 1), has_aux=True)(params, pooler)
    gradients = pretrained.to_official(of_ours) | jax.tree.map(np.asarray, of_pooler)
    return Result(outputs, gradients)


# --- Both towers ---


def videos_of(arrays: Arrays, meta: Mapping[str, Any]) -> VideoBatch:
    return video_batch(arrays, meta["sub_idx2frame_idx"], meta["num_subs"])


def queries_of(arrays: Arrays) -> TextBatch:
    names = ("query_input_ids", "query_pos_ids", "query_attn_masks")
    return text_batch(*(arrays[name] for name in names))


def hierarchy(golden: Golden, case: Case, dtype: str) -> Result:
    """`hier_repr*`: each stage of a video's way through the model."""
    hero, params = load(golden, case.meta["weights"], dtype)
    videos = videos_of(case.inputs, case.meta["in_meta"])
    compute = hero.config.numerics.compute

    def stages(h: Hero) -> dict[str, Any]:
        rows = h.cross_modal_rows(videos)
        fused = h.fuse(videos)
        return {
            "matched_v_feats": onto_frames(rows, videos),
            "frame_transform": h.frame_transform(
                jnp.asarray(videos.features).astype(compute)
            ),
            "repr_no_encode_clip": fused,
            "repr": h.contextualise(fused, videos.frame_mask),
        }

    return Result(jax.jit(lambda p: hero.apply({"params": p}, method=stages))(params))


def hierarchy_gradient(golden: Golden, case: Case, dtype: str) -> Result:
    """`hier_repr_grad`: of a random projection of all frames, padding included."""
    hero, params = load(golden, case.meta["weights"], dtype)
    videos = videos_of(case.inputs, case.meta["in_meta"])

    @jax.jit
    def loss(params):
        frames = hero.apply({"params": params}, videos, method="encode_videos")
        total = jnp.sum(frames * case.inputs["proj"])
        return total, {"repr": frames, "loss": total}

    gradient, outputs = jax.grad(loss, has_aux=True)(params)
    return Result(outputs, pretrained.to_official(gradient))


def word_batch(given: Arrays) -> VideoBatch:
    """The rows of an `mlm` batch, each with its own frames."""
    num_frames = given["v_feat"].shape[1]
    return row_batch(
        {
            "f_v_feats": given["v_feat"],
            "f_v_pos_ids": np.arange(num_frames)[None],
            "f_sub_input_ids": given["input_ids"],
            "f_sub_pos_ids": given["position_ids"],
            "f_attn_masks": given["attn_masks"],
            "f_gather_index": given["gather_index"],
        }
    )


def word_loss(hero: Hero, given: Arrays) -> Callable[[Any], tuple[Any, dict]]:
    """`mlm`: parameters -> mean cross entropy of the masked tokens, and the outputs."""
    batch = word_batch(given)
    row, slot = np.nonzero(given["txt_mask_tgt"])

    def loss(params):
        def logits(h: Hero):
            return h.word_logits(h.cross_modal_rows(batch)[row, slot])

        words = hero.apply({"params": params}, method=logits)
        losses = cross_entropies(words, given["txt_labels"], np.ones(len(row), bool))
        total = jnp.mean(losses)
        return total, {"logits": words, "loss_vec": losses, "loss": total}

    return loss


# --- Retrieval: scores, spans and their losses ---

RETRIEVAL = "(vsm|vcmr|vr)_.*"


def batches_of(case: Case) -> list[tuple[VideoBatch, TextBatch]]:
    """The batch of a retrieval case; one for each rank, of none if it names another."""
    if "in0_meta" in case.meta:
        numbers = [r for r in range(len(case.meta)) if f"in{r}_meta" in case.meta]
        ranks = [(case.under(f"in{r}/"), case.meta[f"in{r}_meta"]) for r in numbers]
    elif "in/video_meta" in case.meta:
        arrays = case.under("in/video/") | case.under("in/query/")
        ranks = [(arrays, case.meta["in/video_meta"])]
    elif "in_meta" in case.meta:
        ranks = [(case.inputs, case.meta["in_meta"])]
    else:
        ranks = []
    return [(videos_of(*rank), queries_of(rank[0])) for rank in ranks]


class Sizes(NamedTuple):
    """What every retrieval batch of a set is padded to, so that one program serves all.

    The frames stay as they are: only their padding can be seen in a result (H-12).
    """

    videos: int
    rows: int
    slots: int
    queries: int
    words: int

    @classmethod
    def of(cls, videos: VideoBatch, texts: TextBatch) -> "Sizes":
        return cls(len(videos.features), *videos.tokens.shape, *texts.tokens.shape)


@functools.cache
def common_sizes(golden: Golden) -> Sizes:
    names = [n for n in golden.names() if re.fullmatch(RETRIEVAL, n)]
    sizes = [Sizes.of(*b) for n in names for b in batches_of(golden.case(n))]
    return Sizes(*map(max, zip(*sizes)))


def grow(array: np.ndarray, *shape: int, fill: int = 0) -> np.ndarray:
    """Padding behind the leading axes."""
    widths = [(0, new - old) for new, old in zip(shape, array.shape)]
    widths += [(0, 0)] * (array.ndim - len(shape))
    return np.pad(array, widths, constant_values=fill)


def grow_batch(
    videos: VideoBatch, texts: TextBatch, sizes: Sizes
) -> tuple[VideoBatch, TextBatch]:
    rows, words = (sizes.rows, sizes.slots), (sizes.queries, sizes.words)
    videos = VideoBatch(
        features=grow(videos.features, sizes.videos),
        frame_mask=grow(videos.frame_mask, sizes.videos),
        tokens=grow(videos.tokens, *rows),
        segment=grow(videos.segment, *rows),
        position=grow(videos.position, *rows),
        frame=grow(videos.frame, *rows, fill=-1),
    )
    texts = TextBatch(
        tokens=grow(texts.tokens, *words),
        segment=grow(texts.segment, *words),
        position=grow(texts.position, *words),
        row=grow(texts.row, sizes.queries),
        segment_of=grow(texts.segment_of, sizes.queries),
    )
    return videos, texts


def predict(h: Hero, videos: VideoBatch, texts: TextBatch) -> dict[str, Any]:
    """Under official names; span logits of every query in every video."""
    frames = h.encode_videos(videos)
    words = h.encode_texts(texts)
    queries = h.query(words, texts)
    start, end = h.all_span_logits(queries, frames, videos.frame_mask)
    return {
        "frame_embeddings": frames,
        "query_txt": words,
        "modularized_query": queries,
        "q2video_scores": h.video_scores(queries, frames, videos.frame_mask),
        "st_logits": start,
        "ed_logits": end,
    }


@functools.partial(jax.jit, static_argnums=0)
def predict_and_pull(hero: Hero, params, videos, texts, cotangents):
    """Predictions, and the gradient for given gradients of the predictions."""
    forward = lambda p: hero.apply({"params": p}, videos, texts, method=predict)
    outputs, pull = jax.vjp(forward, params)
    return outputs, pull(cotangents)[0]


@dataclasses.dataclass
class Forward:
    """The model on one batch: its predictions, and gradients through them."""

    predictions: dict[str, np.ndarray]
    pull: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]


def forward(golden: Golden, stem: str, dtype: str, batch: Any) -> Forward:
    config = dataclasses.replace(golden.config(stem), dtype=dtype, unused_words=0)
    params = pretrained.from_official(golden.weights(stem), config)
    sizes, grown = common_sizes(golden), grow_batch(*batch, common_sizes(golden))
    own = Sizes.of(*batch)
    real = {
        "frame_embeddings": (own.videos,),
        "query_txt": (own.queries, own.words),
        "modularized_query": (own.queries,),
        "q2video_scores": (own.queries, own.videos),
        "st_logits": (own.queries, own.videos),
        "ed_logits": (own.queries, own.videos),
    }
    run_it = functools.partial(predict_and_pull, Hero(config), params, *grown)
    D, F = config.width, batch[0].features.shape[1]
    full = {
        "frame_embeddings": (sizes.videos, F, D),
        "query_txt": (sizes.queries, sizes.words, D),
        "modularized_query": (sizes.queries, D),
        "q2video_scores": (sizes.queries, sizes.videos),
        "st_logits": (sizes.queries, sizes.videos, F),
        "ed_logits": (sizes.queries, sizes.videos, F),
    }

    def grown_cotangents(given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        zeros = {name: np.zeros(full[name], dtype) for name in full.keys() - given}
        return zeros | {k: grow(np.asarray(v), *full[k]) for k, v in given.items()}

    outputs, _ = run_it(grown_cotangents({}))
    cut = {
        name: np.asarray(array)[tuple(map(slice, real[name]))]
        for name, array in outputs.items()
    }
    pull = lambda given: pretrained.to_official(run_it(grown_cotangents(given))[1])
    return Forward(cut, pull)


def retrieval(golden: Golden, case: Case, dtype: str) -> Result:
    """`vsm_*`, `vcmr_*`, `vr_*`: predictions, loss terms and gradients."""
    source = golden.batch(case)
    (batch,) = batches_of(source)
    model = forward(golden, case.meta["weights"], dtype, batch)
    outputs = dict(model.predictions)
    outputs["raw_query_scores"] = outputs["q2video_scores"]
    num_queries, num_videos = outputs["q2video_scores"].shape
    if num_queries == num_videos and "cross=True" not in case.meta.get("call", ""):
        own = np.arange(num_videos)  # query q asks about video q
        outputs |= {k: outputs[k][own, own] for k in ("st_logits", "ed_logits")}
    for name in ("st", "ed"):
        outputs[f"{name}_probs"] = jax.nn.softmax(outputs[f"{name}_logits"])
    if "grad_of" not in case.meta:
        return Result(outputs)
    loss = functools.partial(retrieval_loss, case, source.inputs)
    cotangents, terms = jax.grad(loss, has_aux=True)(model.predictions)
    return Result(outputs | terms, model.pull(cotangents))


def objective(hparams: Mapping[str, Any], **fields: Any) -> VSM:
    return VSM(
        margin=hparams["margin"],
        kind=hparams.get("ranking_loss_type", "hinge"),
        context_weight=float(hparams["lw_neg_ctx"]),
        query_weight=float(hparams["lw_neg_q"]),
        hard_pool_size=hparams["hard_pool_size"],
        hard_weight=float(hparams["hard_neg_weight"]),
        hard_start_step=0 if hparams.get("use_hard_negative") else None,
        **fields,
    )


def retrieval_loss(
    case: Case, arrays: Arrays, predictions: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The sum of the weighted terms, and they under official names."""
    hparams = case.meta["hparams"]
    scores = predictions["q2video_scores"]
    positives = own_videos(*scores.shape)
    outputs = ranking_terms(case, scores, positives)
    if "lw_st_ed" in hparams:
        outputs |= span_terms(hparams["lw_st_ed"], arrays, predictions)
    total = sum(v for name, v in outputs.items() if not name.startswith("eval_"))
    return total, outputs | {"loss": total}


def ranking_terms(case: Case, scores: Any, positives: np.ndarray) -> dict[str, Any]:
    """In training a mean over queries; in evaluation each query by itself."""
    vsm = objective(case.meta["hparams"])
    pairs = (scores, positives, ~positives)
    if "randint_ctx" in case.inputs:
        context, query = vsm.against_ranked(*pairs, *drawn_ranks(case, positives))
    else:
        context, query = vsm.per_query(*pairs, step=0)
    context, query = vsm.context_weight * context, vsm.query_weight * query
    return {
        "loss_neg_ctx": jnp.mean(context),
        "loss_neg_q": jnp.mean(query),
        "eval_loss_neg_ctx": context,
        "eval_loss_neg_q": query,
    }


def own_videos(num_queries: int, num_videos: int) -> np.ndarray:
    """[Q, B]: equal blocks of queries, in the order of the videos (quirk B1)."""
    owner = np.arange(num_queries) // (num_queries // num_videos)
    return owner[:, None] == np.arange(num_videos)


def drawn_ranks(case: Case, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The recorded draws are columns of the sorted scores, positives first."""
    return (
        case.inputs["randint_ctx"] - 1,
        case.inputs["randint_q"] - positives.sum(axis=0),
    )


def span_terms(
    weight: float, arrays: Arrays, predictions: Mapping[str, Any]
) -> dict[str, Any]:
    """As many queries as videos: query q asks about video q, whatever q_vidx says."""
    start, end = predictions["st_logits"], predictions["ed_logits"]
    spans = arrays["targets"]
    rows = np.arange(len(spans))
    own = rows if len(rows) == start.shape[1] else arrays["q_vidx"]
    start, end, is_real = start[rows, own], end[rows, own], rows >= 0
    total, _ = SpanLoss(float(weight))(start, end, spans, is_real, np.array(True))
    sums = [
        jnp.sum(boundary_losses(logits, spans[:, i], is_real)[0])
        for i, logits in enumerate((start, end))
    ]
    return {"loss_st_ed": total, "eval_loss_st_ed": weight * sum(sums)}


def two_ranks(golden: Golden, case: Case, dtype: str) -> Result:
    """`vsm_allgather_2rank`: spans on each rank, ranking over both, gradients averaged.

    The padding of each rank decides its span logits (H-12), so each batch is encoded by
    itself; ranking then sees the frames of both, padded to the longer.
    """
    batches = batches_of(case)
    models = [forward(golden, case.meta["weights"], dtype, b) for b in batches]
    hparams = case.meta["hparams"]
    vsm = objective(hparams, reference_gpus=len(models))
    masks = joined([videos.frame_mask for videos, _ in batches])

    def loss(predictions):
        spans = [
            span_terms(hparams["lw_st_ed"], case.under(f"in{rank}/"), p)["loss_st_ed"]
            for rank, p in enumerate(predictions)
        ]
        queries = jnp.concatenate([p["modularized_query"] for p in predictions])
        frames = joined([p["frame_embeddings"] for p in predictions])
        scores = moment.video_scores(queries, frames, masks)
        positives = own_videos(*scores.shape)
        ranking, terms = vsm(scores, positives, ~positives, step=0)
        context = vsm.context_weight * terms["context"]
        query = vsm.query_weight * terms["query"]
        outputs = {}
        for rank, span in enumerate(spans):
            outputs[f"rank{rank}_loss_st_ed"] = span
            outputs[f"rank{rank}_loss_neg_ctx"] = context
            outputs[f"rank{rank}_loss_neg_q"] = query
            outputs[f"rank{rank}_loss"] = span + context + query
        return sum(spans) / len(spans) + ranking, outputs

    cotangents, outputs = jax.grad(loss, has_aux=True)([m.predictions for m in models])
    gradients = [model.pull(given) for model, given in zip(models, cotangents)]
    mean = jax.tree.map(lambda *parts: sum(parts), *gradients)
    # The mean holds each rank's own gradient divided by the number of ranks.
    ranks = (jax.tree.map(lambda x: x * len(models), g) for g in gradients)
    return Result(outputs, mean, tuple(ranks))


def joined(parts: list[Any]) -> Any:
    """Batches one after the other, padded to the longest video."""
    longest = max(part.shape[1] for part in parts)
    widths = lambda part: [
        (0, 0),
        (0, longest - part.shape[1]),
        *[(0, 0)] * (part.ndim - 2),
    ]
    return jnp.concatenate([jnp.pad(part, widths(part)) for part in parts])


HANDLERS: Mapping[str, Callable[[Golden, Case, str], Result]] = {
    "fenc_repr_grad": cross_modal_gradient,
    "fenc_(repr|repr_masked|txt)": cross_modal,
    "hier_repr_grad": hierarchy_gradient,
    "hier_repr.*": hierarchy,
    "vsm_allgather_2rank": two_ranks,
    RETRIEVAL: retrieval,
}
