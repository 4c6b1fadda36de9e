"""Whole official evaluations, from databases to metrics, beside ours.

A case is a file of `data/e2e/`, or a part of one; it becomes two flat dictionaries with
equal keys, expected and ours. Videos are encoded in batches of the recorded size, since
padding reaches the span logits (H-12); options come from the files.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import answer_cases
import data_cases
import eval_cases
import jax
import jax.numpy as jnp
import numpy as np
import parity_cases
from caption_cases import writer
from eval_cases import Both, EvalCase, Flat
from parity_harness import Golden, Measured, measure

from data_pipelines import official
from hero_jax.losses.cross_entropy import cross_entropies
from hero_jax.losses.verdict import verdict_loss
from hero_jax.model.hero import Hero

TOGETHER = "qa_violin_tvc"
"""The file that holds one part for each of the tasks without a file of their own."""
BATCH_OF = {
    "vcmr_tvr_val": "vcmr_eval_batch",
    "vcmr_didemo_video_only_val": "didemo_video_only_eval_batch",
    "vr_msrvtt_video_only_val": "msrvtt_video_only_eval_batch",
    "vr_msrvtt_video_sub_val": "msrvtt_video_sub_eval_batch",
    "videoqa": "tvqa_eval_batch",
    "violin": "violin_eval_batch",
    "tvc": "tvc_eval_batch",
}
"""Which recorded batch of `data/expected` is of the same dataset and options."""
SCORES = 1e-3
"""Of a moment's score: it is an exponential of what is compared to 1e-5."""


def names(golden: Golden) -> list[str]:
    stems = {path.stem for path in (golden.root / "data/e2e").glob("*.json")}
    return sorted((stems - {TOGETHER}) | set(parts(golden)))


def parts(golden: Golden) -> list[str]:
    """The cases that share a file."""
    path = golden.root / f"data/e2e/{TOGETHER}.json"
    return list(recorded(golden, TOGETHER)[0]) if path.exists() else []


def recorded(golden: Golden, stem: str) -> tuple[Flat, Mapping[str, np.ndarray]]:
    path = golden.root / f"data/e2e/{stem}"
    facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
    arrays = path.with_suffix(".npz")
    return facts, dict(np.load(arrays)) if arrays.exists() else {}


def read(golden: Golden, name: str) -> EvalCase:
    if (golden.root / f"data/e2e/{name}.json").exists():
        return EvalCase(name, *recorded(golden, name))
    facts = recorded(golden, TOGETHER)[0][name]
    with np.load(golden.root / "data/e2e/qa_violin_logits.npz") as file:
        arrays = {"logits": file[name]} if name in file else {}
    return EvalCase(name, facts, arrays)


def handler(name: str) -> Callable[[Golden, EvalCase], Both] | None:
    found = [run for pattern, run in HANDLERS.items() if re.fullmatch(pattern, name)]
    return found[0] if found else None


def run(golden: Golden, name: str) -> Both:
    return handler(name)(golden, read(golden, name))


KEPT: dict[tuple, Any] = {}


def once(golden: Golden, case: EvalCase, inputs: Any, make: Callable[[], Any]) -> Any:
    """What the model makes of a case, once for equal inputs."""
    sources = ((golden.root / f"data/{name}").resolve() for name in ("db", "expected"))
    key = (case.name, json.dumps(inputs), golden.origin, *sources)
    if key not in KEPT:
        KEPT[key] = make()
    return KEPT[key]


def measured(expected: Flat, ours: Flat) -> list[Measured]:
    """Arrays of the model to 1e-5 of the largest value, the rest value by value."""
    of_model = [name for name, value in expected.items() if is_of_model(name, value)]
    found = [
        one
        for name in of_model
        for one in measure(name, ours.get(name), expected[name], 1e-5)
    ]
    rest = lambda flat: {k: v for k, v in flat.items() if k not in of_model}
    return found + eval_cases.measured(rest(expected), rest(ours), SCORES)


def is_of_model(name: str, value: Any) -> bool:
    return isinstance(value, np.ndarray) and name in MODEL_ARRAYS


MODEL_ARRAYS = (
    "frame_embeddings",
    "q2video_scores",
    "st_logits",
    "ed_logits",
    "logits",
)


# --- Retrieval ----------------------------------------------------------------------


@functools.cache
def apply(hero: Hero, method: Any) -> Callable[..., Any]:
    return jax.jit(lambda p, *args: hero.apply({"params": p}, *args, method=method))


def query_vectors(h: Hero, texts: Any) -> Any:
    return h.query(h.encode_texts(texts), texts)


def compared(h: Hero, queries: Any, frames: Any, mask: Any) -> Any:
    return (
        h.video_scores(queries, frames, mask),
        *h.all_span_logits(queries, frames, mask),
    )


def retrieved(
    golden: Golden, case: EvalCase, stem: str, queries: list[Flat], corpus: list[str]
) -> Mapping[str, np.ndarray]:
    """What the model says of every query and video, under official names."""
    facts = (case.meta["model_opts"]["max_clip_len"], case.meta["video_batch_size"])
    encode = lambda: encoded(golden, case, stem, queries, corpus)
    return once(golden, case, (stem, corpus, facts), encode)


def encoded(
    golden: Golden, case: EvalCase, stem: str, queries: list[Flat], corpus: list[str]
) -> Mapping[str, np.ndarray]:
    data = data_cases.Golden(golden.root)
    kind = BATCH_OF[case.name]
    frames_limit = case.meta["model_opts"]["max_clip_len"]
    context = data_cases.limits(data, kind)[1] if has_facts(data, kind) else 0
    hero, params = parity_cases.load(golden, stem, "float32")
    size = case.meta["video_batch_size"]
    item = video_only if "video_only" in case.name else data_cases.retrieval_item
    frames, masks = [], []
    for first in range(0, len(corpus), size):
        items = [
            item(data, kind, video, frames_limit, context)
            for video in corpus[first : first + size]
        ]
        arrays, facts = data_cases.batch(data, items)
        videos = parity_cases.videos_of(arrays, facts)
        frames.append(apply(hero, "encode_videos")(params, videos))
        masks.append(videos.frame_mask)
    together, mask = parity_cases.joined(frames), parity_cases.joined(masks)
    tokens = [query["input_ids"] for query in queries]
    texts = parity_cases.queries_of(official.query_arrays(tokens, data.special))
    vectors = apply(hero, query_vectors)(params, texts)
    scores, start, end = apply(hero, compared)(params, vectors, together, mask)
    found = {
        "frame_embeddings": together,
        "c_attn_masks": np.asarray(mask, int),
        "q2video_scores": scores,
        "st_logits": start,
        "ed_logits": end,
    }
    return {name: np.asarray(array) for name, array in found.items()}


def has_facts(data: data_cases.Golden, case: str) -> bool:
    return (data.root / f"data/expected/{case}.json").exists()


def video_only(data, kind, video, frames, context):
    return data_cases.video_only_item(data, video, frames)


def corpus_retrieval(golden: Golden, case: EvalCase) -> Both:
    """`vcmr_*`: arrays of the model, submissions, and what they score."""
    meta = case.meta
    data = data_cases.Golden(golden.root)
    records = data_cases.in_order(data, DATABASES[case.name])
    ours = retrieved(golden, case, meta["weights"], [*records.values()],
                     meta["corpus_sorted"])  # fmt: skip
    expected: Flat = dict(case.arrays)
    mine: Flat = dict(ours)
    corpus = sorted({record["vid"] for record in records.values()})
    asked = zip(records.values(), meta["ground_truth"], strict=True)
    expected |= {key: meta[key] for key in ("longest_clip", "corpus_sorted")}
    expected["ground_truth"] = meta["ground_truth"]
    mine |= {
        "longest_clip": ours["frame_embeddings"].shape[1],
        "corpus_sorted": corpus,
        "ground_truth": [{k: record[k] for k in query} for record, query in asked],
    }
    indices = video_indices(data, case.name, corpus)
    facts = {
        **meta,
        "query_ids": list(records),
        "query_video": [record["vid"] for record in records.values()],
    }
    for name in ("no_nms", "nms"):
        run = meta[name]
        whole = EvalCase(case.name, facts | {"video2idx": indices}, ours)
        theirs, found = submissions(whole, run)
        expected |= {f"{name}/{key}": value for key, value in theirs.items()}
        mine |= {f"{name}/{key}": value for key, value in found.items()}
        expected |= {f"{name}/log/{k}": v for k, v in run["val_log"].items()}
        logged = eval_cases.logged(meta, name)
        mine |= {f"{name}/log/{k}": v for k, v in logged.items()}
    return expected, mine


def video_indices(
    data: data_cases.Golden, name: str, corpus: list[str]
) -> dict[str, int]:
    """Of TVR the published ones; of others the places of their names."""
    if "tvr" not in name:
        return data_cases.sorted_index(data, corpus)
    splits = official.split_indices(
        data.json("db/txt/tv_subtitles.db/vid2dur_idx.json")
    )
    return next(of for of in splits.values() if of.keys() >= set(corpus))


def submissions(case: EvalCase, run: Flat) -> Both:
    """Every answer with a positive score; the order of the others is of a sort."""
    rules = eval_cases.rules_of(case, run["nms_thd"])
    mine = eval_cases.positive(eval_cases.submitted(case, rules))
    theirs = eval_cases.positive(run["returned_submission"])
    flat = lambda tree: {k: in_order(v) for k, v in eval_cases.flat(tree).items()}
    return flat(theirs), flat(mine)


def in_order(value: Any) -> Any:
    """Answers of one query by place: equal scores may stand in either order."""
    return sorted(value) if isinstance(value, list) else value


DATABASES = {
    "vcmr_tvr_val": "tvr_val.db",
    "vcmr_didemo_video_only_val": "didemo_val.db",
    "vr_msrvtt_video_only_val": "msrvtt_val.db",
    "vr_msrvtt_video_sub_val": "msrvtt_val.db",
}


def video_retrieval(golden: Golden, case: EvalCase) -> Both:
    """`vr_*`: the best videos of every query, and how many are found."""
    meta = case.meta
    data = data_cases.Golden(golden.root)
    records = data_cases.in_order(data, DATABASES[case.name])
    corpus = sorted({record["vid"] for record in records.values()})
    ours = retrieved(golden, case, meta["weights"], [*records.values()], corpus)
    facts = {
        "model_opts": meta["model_opts"],
        "query_ids": list(records),
        "query_data": records,
        "video2idx": data_cases.sorted_index(data, corpus),
        "returned_submission": meta["returned_submission"],
        "val_log": meta["val_log"],
    }
    # The places of a top list count within the corpus, in the order of its names.
    of_corpus = {video: facts["video2idx"][video] for video in corpus}
    whole = EvalCase(case.name, facts | {"video2idx": of_corpus}, ours)
    return eval_cases.pipeline_vr(whole)


# --- Answers, verdicts and captions -------------------------------------------------


def questions(golden: Golden, case: EvalCase) -> Both:
    data = data_cases.Golden(golden.root)
    records = [*data_cases.in_order(data, "tvqa_val.db").values()]
    arrays, facts = data_cases.question_batch(data, BATCH_OF[case.name], records)
    shape = (len(records), len(records[0]["input_ids"]) - 1)
    texts = answer_cases.texts_of(arrays, "qa")
    videos = parity_cases.videos_of(arrays, facts)

    def predict(h: Hero):
        frames = answer_cases.frames_after(h, videos, texts)
        of_question = lambda x: x.reshape(*shape, *x.shape[1:])
        return h.answer(of_question(frames), of_question(videos.frame_mask))[0]

    hero, params = parity_cases.load(golden, "videoqa", "float32")
    logits = once(golden, case, (), lambda: np.asarray(apply(hero, predict)(params)))
    labels = arrays["targets"][:, 0]
    best = logits.argmax(axis=1)
    losses = cross_entropies(jnp.asarray(logits), labels, labels >= 0)
    ours = {
        "logits": logits,
        "results": best,
        "valid/loss": float(losses.sum() / np.sum(labels >= 0)),
        "valid/acc": float(np.mean(best == labels)),
    }
    answers = np.array([case.meta["results"][id] for id in case.meta["qids"]])
    expected = {**case.arrays, "results": answers, **case.meta["val_log"]}
    return expected | {"qids": case.meta["qids"]}, ours | {"qids": facts["qids"]}


def statements(golden: Golden, case: EvalCase) -> Both:
    data = data_cases.Golden(golden.root)
    ids = [*data_cases.in_order(data, "violin_val.db")]
    arrays, facts = data_cases.statement_batch(data, BATCH_OF[case.name], ids)
    texts = answer_cases.texts_of(arrays, "q")
    videos = parity_cases.videos_of(arrays, facts)

    def predict(h: Hero):
        frames = answer_cases.frames_after(h, videos, texts)
        return h.statement(frames, videos.frame_mask)

    hero, params = parity_cases.load(golden, "violin", "float32")
    logits = once(golden, case, (), lambda: np.asarray(apply(hero, predict)(params)))
    labels = arrays["targets"][:, 0]
    ours = {
        "logits": logits.reshape(-1, 1),
        "results": (logits > 0).astype(int).ravel(),
        "valid/val_loss": float(verdict_loss(jnp.asarray(logits), jnp.asarray(labels))),
        "valid/val_acc": float(np.mean((logits > 0).ravel() == labels)),
        "qids": ids,
    }
    verdicts = np.array([case.meta["results"][id] for id in case.meta["qids"]])
    expected = {**case.arrays, "results": verdicts, **case.meta["val_log"]}
    return expected | {"qids": case.meta["qids"]}, ours


def captions(golden: Golden, case: EvalCase) -> Both:
    """The official greedy captions of a split, from its recorded batch."""
    data = data_cases.Golden(golden.root)
    arrays = data.arrays(BATCH_OF[case.name])
    facts = data.expected_json(BATCH_OF[case.name])
    facts |= facts.pop("_meta", {})
    length = case.meta["max_step"]
    ids = data.json("db/txt/tv_subtitles.db/meta.json")

    def write() -> tuple[list[list[int]], float]:
        ours = writer(golden, arrays, facts, length, "float32")
        written = ours.greedy(length=length, bos=ids["BOS"], eos=ids["EOS"])
        best = jax.lax.top_k(ours.logits(ids["BOS"], length), 2)[0]
        return written, float((best[..., 0] - best[..., 1]).min())

    written, margin = once(golden, case, length, write)
    expected = {
        "greedy_decode": [str(row) for row in case.meta["greedy_decode"]],
        "clip_ids": [str(id) for id in case.meta["clip_ids"]],
        "min_top2_margin": case.meta["min_top2_margin"],
    }
    return expected, {
        "greedy_decode": [str(row) for row in written],
        "clip_ids": [str(id) for id in facts["clip_ids"]],
        "min_top2_margin": margin,
    }


HANDLERS: dict[str, Callable[[Golden, EvalCase], Both]] = {
    r"vcmr_\w+": corpus_retrieval,
    r"vr_\w+": video_retrieval,
    "videoqa": questions,
    "violin": statements,
    "tvc": captions,
}
