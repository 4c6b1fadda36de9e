"""What our code makes of each recorded evaluation, beside what was recorded.

A case is a file of `eval/`; it becomes two flat dictionaries with equal keys, expected
and ours. Sizes and options come from the files.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from parity_harness import Measured

from hero_jax.metrics.captions import caption_scores
from hero_jax.metrics.predictions import submission, video_rows
from hero_jax.metrics.recall import (
    THRESHOLDS,
    moment_ranks,
    recalls,
    rounded,
    temporal_iou,
)
from hero_jax.retrieval.nms import final_moments, suppress
from hero_jax.retrieval.spans import (
    OFFICIAL_RULES,
    SpanRules,
    band_scores,
    best_spans,
    exponential_weights,
    legacy_place,
    moments,
)

Flat = dict[str, Any]
Both = tuple[Flat, Flat]


@dataclasses.dataclass(frozen=True)
class EvalCase:
    name: str
    meta: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


def names(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "eval").glob("*.json"))


def read(root: Path, name: str) -> EvalCase:
    path = root / "eval" / name
    meta = json.loads(path.with_suffix(".json").read_text("utf-8"))
    arrays = path.with_suffix(".npz")
    return EvalCase(name, meta, dict(np.load(arrays)) if arrays.exists() else {})


def handler(name: str) -> Callable[[EvalCase], Both] | None:
    """The function that reproduces a case; None if there is none."""
    found = [run for pattern, run in HANDLERS.items() if re.fullmatch(pattern, name)]
    return found[0] if found else None


def mismatches(expected: Flat, ours: Flat) -> list[str]:
    """Every way in which two flat dictionaries differ; numbers to 1e-5."""
    return [str(one) for one in measured(expected, ours) if one.is_off]


def measured(expected: Flat, ours: Flat, allowed: float = 1e-5) -> list[Measured]:
    """Numbers by their share of the recorded one (or of 0.01); all else as it is."""
    left = expected.keys() ^ ours.keys()
    found = [Measured(key, np.inf, allowed, "in one only") for key in sorted(left)]
    for key in sorted(expected.keys() & ours.keys()):
        theirs, mine = np.asarray(expected[key]), np.asarray(ours[key])
        if theirs.dtype.kind in "OUb" or theirs.shape != mine.shape:
            is_same = np.array_equal(theirs, mine)
            problem = "" if is_same else f"{mine} instead of {theirs}"
            found.append(Measured(key, 0.0, 0.0, problem))
        else:
            found.append(Measured(key, relative(mine, theirs), allowed))
    return found


def relative(mine: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference as a share of the recorded value, at least of 0.01."""
    mine, theirs = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
    is_nan = np.isnan(theirs)
    if np.any(np.isnan(mine) != is_nan):
        return np.inf
    share = np.abs(mine - theirs) / (0.01 + np.abs(theirs))
    return float(np.max(share, initial=0, where=~is_nan))


# functions.json: the small functions on their own


def functions(case: EvalCase) -> Both:
    expected, ours = {}, {}
    for run in (_masks, _ious, _top_products, _suppressions):
        theirs, mine = run(case)
        expected |= theirs
        ours |= mine
    left = {key.split("/")[0] for key in (*case.meta, *case.arrays)}
    left -= {re.split("[/.]", key)[0] for key in expected}
    assert not left, f"functions nobody handles: {sorted(left)}"
    return expected, ours


def _masks(case: EvalCase) -> Both:
    """Which (m, n) may be a span (T.9)."""
    expected, ours = {}, {}
    for name in (key for key in case.meta if key.startswith("mask")):
        options = case.meta[name]
        expected[name] = case.arrays[f"{name}/out"][0, 0]
        rules = dataclasses.replace(
            OFFICIAL_RULES, min_frames=options["min_l"], max_frames=options["max_l"]
        )
        length = options["shape"][-1]
        ones = jnp.ones((1, 1, length))
        band = band_scores(
            ones, ones, jnp.ones((1, 1)), jnp.full((1, 1), length), rules
        )
        ours[name] = _unbanded(np.asarray(band[0, 0]), options["min_l"])
    return expected, ours


def _unbanded(band: np.ndarray, min_frames: int) -> np.ndarray:
    """The [m, n] matrix whose diagonals from `min_frames` on are the band's columns."""
    mask = np.zeros((len(band), len(band)))
    for m, j in zip(*np.nonzero(band > 0)):
        mask[m, m + min_frames + j] = 1
    return mask


def _ious(case: EvalCase) -> Both:
    predicted, true = case.arrays["iou/preds"], case.arrays["iou/gt"]
    point = np.repeat(true[:1], 2)
    wide = lambda array: array.astype(np.float64)
    expected = {k: v for k, v in case.arrays.items() if k.startswith("iou/")}
    ours = {
        "iou/preds": predicted,
        "iou/gt": true,
        "iou/out": temporal_iou(predicted, true),
        "iou/out_scalar": temporal_iou(wide(predicted), wide(true)),
        "iou/degenerate_gt_out": temporal_iou(predicted, point),
    }
    return expected, ours


def _top_products(case: EvalCase) -> Both:
    """The best entries of a matrix as (m, n, score)."""
    products, expected = case.arrays["topn/in"], case.arrays["topn/out"]
    rows = products.reshape(len(products), -1)
    score, place = jax.lax.top_k(rows, expected.shape[1])
    _, first, last = legacy_place(place, products.shape[-1])
    return {"topn": expected}, {"topn": np.stack([first, last, score], axis=-1)}


def _suppressions(case: EvalCase) -> Both:
    expected, ours = {}, {}
    single = case.meta["nms_single"]
    expected["nms_single"], ours["nms_single"] = single, _suppress(single, 0.5)
    for name in (key for key in case.meta if re.fullmatch(r"nms\d+", key)):
        options = case.meta[name]
        kept = _suppress(options["predictions"], options["threshold"])
        expected |= {name: options["out"], f"{name}.5": options["out_max5"]}
        ours |= {name: kept, f"{name}.5": kept[:5]}
    options = case.meta["vcmr_nms"]
    expected["vcmr_nms"] = options["out"]
    rules = dataclasses.replace(
        OFFICIAL_RULES,
        nms_threshold=options["threshold"],
        max_after_nms=options["max_after_nms"],
        truncates_before_nms=False,
    )
    rows = np.array(options["predictions"])[: options["max_before_nms"]]
    ours["vcmr_nms"] = final_moments(rows, rules)
    return expected, ours


def _suppress(predictions: list[list[float]], threshold: float) -> np.ndarray:
    """Suppression of (start, end, score) within one video."""
    rows = np.insert(np.array(predictions), 0, 0, axis=1)
    return suppress(rows, threshold)[:, 1:]


# standalone_*.json: metrics of a submission


def standalone(case: EvalCase) -> Both:
    meta = case.meta
    ours = metrics(meta["submission"], meta["ground_truth"], meta["use_desc_type"])
    expected = flat(meta["metrics"]) | {"iou_thds": meta["iou_thds"]}
    formed = well_formed(meta["submission"], meta["ground_truth"])
    return expected | dict.fromkeys(formed, True), flat(ours) | formed | {
        "iou_thds": list(THRESHOLDS)
    }


def well_formed(predicted: Flat, truth: list[Flat]) -> Flat:
    """Whether answers fall in score, name known videos, and are asked of their own."""
    indices, formed = predicted["video2idx"], {}
    for task in (t for t in ("VCMR", "SVMR", "VR") if t in predicted):
        for entry, query in zip(predicted[task], truth, strict=True):
            rows = np.array(entry["predictions"])
            own = [indices[query["vid_name"]]] if task == "SVMR" else indices.values()
            is_formed = (
                np.all(np.diff(rows[:, 3]) <= 0) & np.isin(rows[:, 0], [*own]).all()
            )
            is_formed &= entry["desc_id"] == query["desc_id"]
            if task == "VR":
                is_formed &= not rows[:, 1:3].any()
            formed[f"{task}/{query['desc_id']} is well formed"] = bool(is_formed)
    return formed


def metrics(predicted: Flat, truth: list[Flat], use_types: bool) -> Flat:
    """The official table of a submission: percentages to two decimals."""
    kinds = np.array([query.get("type", "") for query in truth])
    groups = {kind: kinds == kind for kind in ("v", "t", "vt")} if use_types else {}
    table = {}
    for task in (t for t in ("VCMR", "SVMR", "VR") if t in predicted):
        ranks = _ranks(predicted[task], truth, predicted["video2idx"], task)
        table[task] = _recalls(ranks, np.ones(len(truth), bool))
        if groups:
            table[f"{task}_by_type"] = {
                f"{kind}-{key}": value
                for kind, chosen in groups.items()
                for key, value in _recalls(ranks, chosen).items()
            } | {"desc_type_ratio": _ratio(groups)}
    return table


def _ranks(
    entries: list[Flat], truth: list[Flat], indices: Mapping[str, int], task: str
) -> dict[str, np.ndarray]:
    """Key prefix -> rank of the first correct answer to each query."""
    answers = {entry["desc_id"]: np.array(entry["predictions"]) for entry in entries}
    rows = [answers[query["desc_id"]] for query in truth]
    videos = [indices[query["vid_name"]] for query in truth]
    if task == "VR":
        ranks = [
            next((n for n, row in enumerate(found, 1) if row[0] == video), np.inf)
            for found, video in zip(rows, videos)
        ]
        return {"": np.array(ranks)}
    true = [np.reshape(query["ts"], (-1, 2)).tolist() for query in truth]
    return {
        f"{threshold}-": moment_ranks(rows, videos, true, threshold)
        for threshold in THRESHOLDS
    }


def _recalls(ranks: Mapping[str, np.ndarray], chosen: np.ndarray) -> dict[str, float]:
    return {
        prefix + name.replace("R@", "r"): value
        for prefix, values in ranks.items()
        for name, value in rounded(recalls(values[chosen])).items()
    }


def _ratio(groups: Mapping[str, np.ndarray]) -> str:
    return " ".join(f"{k} {100 * np.mean(chosen):.2f}" for k, chosen in groups.items())


# pipeline_*.json: from scores and logits to a submission and its metrics


def pipeline_vr(case: EvalCase) -> Both:
    meta = case.meta
    scores, videos = jax.lax.top_k(
        case.arrays["q2video_scores"], meta["model_opts"]["max_vr_video"]
    )
    rows = video_rows(np.asarray(videos), np.asarray(scores))
    ours = submission(meta["query_ids"], meta["video2idx"], {"VR": rows})
    for entry in ours["VR"]:
        entry["desc_id"] = str(entry["desc_id"])  # officially a string for VR alone
    truth = [
        {"desc_id": id, "vid_name": query["clip_name"]}
        for id, query in meta["query_data"].items()
    ]
    expected = flat(meta["returned_submission"]) | _logged(meta["val_log"])
    table = metrics(ours, truth, use_types=False)
    numbers = {id: str(q.get("sen_id", id)) for id, q in meta["query_data"].items()}
    mine = flat(ours) | flat({"VR": table["VR"]}, "log") | {"sen_id": [*numbers]}
    return expected | {"sen_id": [*numbers.values()]}, mine


def pipeline_vcmr(case: EvalCase) -> Both:
    expected, ours = {}, {}
    for name in ("no_nms", "nms"):
        theirs, mine = _vcmr_run(case, case.meta[name])
        expected |= {f"{name}/{key}": value for key, value in theirs.items()}
        ours |= {f"{name}/{key}": value for key, value in mine.items()}
    theirs, mine = _sizes(case)
    return expected | theirs, ours | mine


def _sizes(case: EvalCase) -> Both:
    """What is said of lengths and queries, and what the arrays and the truth have."""
    meta, logits = case.meta, case.arrays["st_logits"]
    lengths = {
        video: int(np.sum(logits[0, number] > -9e3))
        for number, video in enumerate(meta["corpus_sorted"])
    }
    truth = [
        (str(query["desc_id"]), query["vid_name"]) for query in meta["ground_truth"]
    ]
    queries = list(zip(map(str, meta["query_ids"]), meta["query_video"]))
    names = ("clip_lengths", "L", "queries")
    said = (meta["clip_lengths"], meta["L"], queries)
    return dict(zip(names, said)), dict(zip(names, (lengths, logits.shape[-1], truth)))


def _vcmr_run(case: EvalCase, recorded: Flat) -> Both:
    """Without and with suppression: the two runs of one case.

    Scores of 0 are left out: below the last positive score the order of the official
    list is that of its sorting routine.
    """
    meta, options = case.meta, case.meta["model_opts"]
    ours = submitted(case, rules_of(case, recorded["nms_thd"]))
    with_types = options["eval_with_query_type"]
    table = metrics(ours, meta["ground_truth"], with_types)
    key = "metrics" if "metrics" in recorded else "metrics_of_returned_submission"
    left_out = recorded["tie_sensitive_metrics"]
    theirs = flat(positive(recorded["returned_submission"])) | flat(recorded[key])
    mine = flat(positive(ours)) | flat(table)
    theirs |= {
        f"positive/{k}": n for k, n in recorded["n_positive_predictions"].items()
    }
    mine |= {f"positive/{task}": counts(ours[task]) for task in ("VCMR", "SVMR")}
    is_kept = lambda name: not any(metric in name for metric in left_out)
    pick = lambda leaves: {k: v for k, v in leaves.items() if is_kept(k)}
    name = "nms" if recorded is meta["nms"] else "no_nms"
    log = {f"log/{k}": v for k, v in recorded["val_log"].items()}
    return pick(theirs) | log, pick(mine) | {
        f"log/{k}": v for k, v in logged(meta, name).items()
    }


def counts(entries: list[Flat]) -> list[int]:
    """Answers of a positive score to each query."""
    return [sum(row[3] > 0 for row in entry["predictions"]) for entry in entries]


def logged(meta: Mapping[str, Any], name: str) -> Flat:
    """Metrics, by our code, of the official answers: their ties are in them."""
    found = {}
    for kind, suffix in {"no_nms": "", "nms": f"_nms_{meta['nms']['nms_thd']}"}.items():
        if kind == "nms" and name == "no_nms":
            continue
        table = metrics(
            meta[kind]["returned_submission"],
            meta["ground_truth"],
            meta["model_opts"]["eval_with_query_type"],
        )
        found |= {
            f"valid_val_{task}{suffix}/{task}_{key}": value
            for task, of in table.items()
            for key, value in of.items()
            if key != "desc_type_ratio" and not (suffix and task.startswith("VR"))
        }
    return found


def rules_of(case: EvalCase, nms_threshold: float) -> SpanRules:
    options = case.meta["model_opts"]
    return dataclasses.replace(
        OFFICIAL_RULES,
        min_frames=options["min_pred_l"],
        max_frames=options["max_pred_l"],
        alpha=float(options["q2c_alpha"]),
        max_videos=options["max_vcmr_video"],
        max_before_nms=options["max_before_nms"],
        max_after_nms=options["max_after_nms"],
        nms_threshold=nms_threshold if nms_threshold > 0 else None,
        legacy_unravel=options["max_clip_len"],
    )


def submitted(case: EvalCase, rules: SpanRules) -> Flat:
    """The answers to every query, from its scores and logits."""
    meta = case.meta
    indices = {video: meta["video2idx"][video] for video in meta["corpus_sorted"]}
    return submission(meta["query_ids"], indices, _answers(case, rules))


def _answers(case: EvalCase, rules) -> dict[str, list[np.ndarray]]:
    meta, scores = case.meta, case.arrays["q2video_scores"]
    corpus = meta["corpus_sorted"]
    starts, ends = (jax.nn.softmax(case.arrays[f"{b}_logits"]) for b in ("st", "ed"))
    intervals = np.full(len(corpus), meta["model_opts"]["vfeat_interval"])

    def answer(videos, weights, rules):
        own = jnp.asarray(videos)[..., None]
        chosen = [jnp.take_along_axis(probs, own, axis=1) for probs in (starts, ends)]
        # Officially frames after the end of a video are candidates, of probability 0.
        num_frames = jnp.full(videos.shape, starts.shape[-1])
        spans = best_spans(*chosen, weights, num_frames, rules)
        rows = moments(spans, videos, intervals)
        return [final_moments(row, rules) for row in rows]

    cosines, videos = jax.lax.top_k(scores, min(rules.max_videos, len(corpus)))
    weights = exponential_weights(cosines, rules.alpha)
    true = np.array([[corpus.index(video)] for video in meta["query_video"]])
    in_place = dataclasses.replace(rules, legacy_unravel=None)
    return {
        "VCMR": answer(videos, weights, rules),
        "SVMR": answer(true, jnp.ones(true.shape), in_place),
        "VR": video_rows(np.asarray(videos), np.asarray(weights)),
    }


def positive(predicted: Flat) -> Flat:
    """The submission without the answers of score 0."""
    keep = lambda entry: (
        entry | {"predictions": [row for row in entry["predictions"] if row[3] > 0]}
    )
    return {
        key: value if key == "video2idx" else [keep(entry) for entry in value]
        for key, value in predicted.items()
    }


def _logged(log: Mapping[str, float]) -> Flat:
    """valid_val_VR/VR_r1 -> log/VR/r1"""
    return {re.sub(r".*/(\w+)_(\w+)", r"log/\1/\2", k): v for k, v in log.items()}


def flat(tree: Any, prefix: str = "") -> Flat:
    """Nested dictionaries and entries by query as one dictionary of arrays."""
    if isinstance(tree, list) and tree and isinstance(tree[0], dict):
        tree = {str(entry["desc_id"]): entry for entry in tree}
    if not isinstance(tree, dict):
        return {prefix: tree}
    leaves = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}/{key}")
    return leaves


# caption_scorers.json: texts of words, and their scores


def caption_scorers(case: EvalCase) -> Both:
    """The official names and shares of one; ours are in percent."""
    meta = case.meta
    texts = {name: only for name, (only,) in meta["hypotheses"].items()}
    scores = caption_scores(texts, meta["references"])
    ours = {
        name.replace("BLEU-", "Bleu_").replace("-", "_"): score / 100
        for name, score in scores.items()
    }
    return meta["scores"], ours


HANDLERS: dict[str, Callable[[EvalCase], Both]] = {
    r"functions": functions,
    r"standalone_\w+": standalone,
    r"caption_scorers": caption_scorers,
    r"pipeline_vr\w*": pipeline_vr,
    r"pipeline_vcmr\w*": pipeline_vcmr,
}
