"""What a case of the model says about itself, computed again from its arrays."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from parity_harness import Case, Golden

from hero_jax import pretrained

Facts = Iterator[tuple[str, Any]]
"""(what may be said, what it has to be)"""
MASKED = 9e3


def wrong(golden: Golden, case: Case) -> Iterator[str]:
    for find in CHECKS:
        for name, found in find(golden, case):
            if name in case.meta and not is_alike(case.meta[name], found):
                yield f"{name}: {case.meta[name]!r} is said, {found!r} found"


def is_alike(said: Any, found: Any) -> bool:
    """Numbers to 1e-5 of theirs, in dictionaries, too; names of a set in any order."""
    if isinstance(found, set):
        return len(said) == len(found) and set(said) == found
    if isinstance(said, Mapping) and isinstance(found, Mapping):
        both = said.keys() == found.keys()
        return both and all(is_alike(said[key], found[key]) for key in said)
    if isinstance(said, float) and isinstance(found, float):
        return abs(said - found) <= 1e-5 * abs(found) + 1e-15
    return said == found


def shapes(case: Case) -> dict[str, Any]:
    """Name -> [shape, type] of every array."""
    return {name: [list(a.shape), a.dtype.name] for name, a in case.arrays.items()}


def of_itself(golden: Golden, case: Case) -> Facts:
    said, given = case.meta, golden.batch(case).inputs
    yield "case", case.name
    yield "keys", shapes(case)
    yield "mode", "train,p=0" if any("grad" in key for key in said) else "eval"
    yield "grad_of", next((n for n in ("loss",) if f"out/{n}" in case.arrays), None)
    if "inputs" in said:
        is_named = re.fullmatch(r"same batch as \w+", said["inputs"] or "")
        yield "inputs", said["inputs"] if is_named else None
    if "use_all_neg" in said.get("hparams", {}):
        uses_all = "in/randint_ctx" not in case.arrays
        yield "hparams", {**said["hparams"], "use_all_neg": uses_all}
    if "vocab_pad" in said:
        yield "vocab_pad", golden.config(said["weights"]).unused_words
    if "out/logits" in case.arrays:
        yield "max_clip_len", case.arrays["out/logits"].shape[-1]
    if "q_vidx" in given:
        yield "query_per_video", len(given["q_vidx"]) / len(given["c_v_feats"])
    if "qa_input_ids" in given:
        yield "n_answers", len(given["qa_input_ids"]) / len(given["targets"])


def of_precision(golden: Golden, case: Case) -> Facts:
    """How far 32 bits are from 64, but for whole numbers and what is masked (A2)."""
    narrow, wide = case.under("out/"), case.under("out64/")
    found = {}
    for name in narrow.keys() & wide.keys():
        if wide[name].dtype.kind == "f":
            is_kept = np.abs(wide[name]) < MASKED
            values = wide[name][is_kept].astype(np.float64)
            off = np.abs(narrow[name][is_kept] - values).max(initial=0)
            scale = np.abs(values).max(initial=0)
            found[name] = {
                "max_abs": float(off),
                "scale": float(scale),
                "rel_to_scale": float(off / scale) if scale else 0.0,
            }
    yield "f32_vs_f64", found


def of_gradients(golden: Golden, case: Case) -> Facts:
    """Norms are those of the arrays, and every parameter has one or has none."""
    said = case.meta
    norm = lambda array: float(np.linalg.norm(array.astype(np.float64)))
    norms = {name: norm(array) for name, array in case.gradients.items()}
    yield from ((name, norms) for name in ("grad_norm", "avg_grad_norm"))
    for name in (key for key in said if re.search(r"grad_(rank\d+_)?norm(64)?$", key)):
        yield name, set(norms)
    if "grad_norm" in said:
        yield "grad_none", parameters(golden, case) - set(norms)
    if not {"grad_norm", "grad_norm64"} <= said.keys():
        return
    narrow, wide = said["grad_norm"], said["grad_norm64"]
    total = float(np.sqrt(sum(norm**2 for norm in wide.values())))
    zeros = {name for name, norm in wide.items() if norm < 1e-10 * total}
    yield "grad_total_norm64", total
    yield "grad_numerically_zero", zeros
    off = [abs(narrow[name] - wide[name]) / wide[name] for name in wide.keys() - zeros]
    yield "grad_norm_f32_vs_f64_maxrel", max(off)


def parameters(golden: Golden, case: Case) -> set[str]:
    names = golden.weights(case.meta["weights"])
    is_none = pretrained.NOT_PARAMETERS.fullmatch
    return {name for name in names if not is_none(name) and name != pretrained.TIED}


def of_writing(golden: Golden, case: Case) -> Facts:
    """Captions end where their end is written."""
    if "eos" in case.meta and "out/tokens_full" in case.arrays:
        eos, rows = case.meta["eos"], case.arrays["out/tokens_full"].tolist()
        yield "greedy_decode", [row[: [*row, eos].index(eos)] for row in rows]
        yield "max_step", len(rows[0])
        yield "min_top2_margin", float(case.arrays["out/margin"].min())


def of_another(golden: Golden, case: Case) -> Facts:
    """A video alone is one of another case's batch."""
    name = "index_in_fenc_repr_batch"
    if name in case.meta and "fenc_repr" in golden.names():
        other = golden.case("fenc_repr").inputs["c_v_feats"]
        alone = case.inputs["c_v_feats"][0]
        same = [np.array_equal(video[: len(alone)], alone) for video in other]
        yield name, same.index(True) if True in same else None


CHECKS = (of_itself, of_precision, of_gradients, of_writing, of_another)
