"""All that the suite finds wrong with a case, for the test that damages cases."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import batch_checks
import data_cases
import e2e_cases
import eval_cases
import jax
import meta_checks
import module_cases
import numpy as np
import optim_cases
from damage import Leaf
from parity_harness import Golden, mismatches
from run_cases import run

NO_EFFECT: Mapping[str, str] = {
    r".*[:/](call|note|total_loss|beam_search|rule|rule_didemo|gts/\d+|desc)": "words",
    r"(model|optim)/.*_meta/(vids|clip_ids)/\d+|.*:clip": "names for people",
    r".*:param_scale": "how weights were drawn",
    r".*[:/](drop_svmr_prob|distributed_eval|(query_)?batch_size)": "chance; work in "
    "parts",
    r"data/e2e/vr_.*:video_batch_size": "no spans, which padding reaches (H-12)",
    r"model/(vsm_scores|vcmr_infer|vsm_one_video).*:hparams/.*": "no loss that ranks",
    r".*:hparams/(hard_pool_size|hard_neg_weight)": "without hard negatives",
    r"model/vsm_loss_lse.*:hparams/margin": "the other ranking loss has none (B3)",
    r"model/vsm_loss_only.*:hparams/(?!use_all|lw_neg_ctx|lw_neg_q).*": "of a part of "
    "the loss without weight",
    r"model/(vr_\w+|vsm_scores).npz:in/targets/\d+": "spans without their loss",
    r"model/module_functions.npz:in/(x|target|ls_logits)/\d+": "far below zero, "
    "masked, or ignored",
    r".*:grad_rank\d_norm(64)?/.*key.bias": "rounding noise: the gradient is zero",
    r"optim/param_groups.*:opts/(optim|warmup|num_train|grad).*": "not about groups",
    r"optim/traj_(vcmr|pre).*/lr_mul": "all groups learn alike (G3)",
    r".*[:/](max_clip_len|max_(pred_l|before_nms|after_nms|v\w+_video))": "a limit "
    "that no video and no list of the case reaches (E2)",
    r"data/expected/span_labels.json:rows/.*/(ts|n_frames).*": "times in one frame",
    r".*_meta/all_ts/.*": "times in one frame",
    r".*/collate_long_text.*:f_sub_input_ids/.*": "words of its own",
    r"eval/standalone.*:submission/.*/predictions/\d+/[123]": "wrong or right alike",
    r".*:ground_truth/\d+/(duration|type|ts/.*)": "the same answers are right, "
    "or nothing is counted by kind",
    r"eval/functions.json:(vcmr_)?nms\d*/(pred|threshold|max_before).*": "an answer "
    "that is suppressed either way",
    r"eval/functions.*:(mask\d+/(shape|max_l).*|topn/in/\d+)": "rows that are alike; "
    "diagonals there are not; products below the best",
    r"eval/pipeline.*npz:.*": "scores below the best",
}
"""Values whose change may go unnoticed, and why: no recorded number hangs on them. In a
copy of our own recordings `recorded.py` notices them, too."""
WIDE = r".*:(rel_change_with_wrong_eps|final_f32_vs_f64_worst)/.*"
"""Values that only a run in 64 bits tells."""


def reason(root: Path, leaf: Leaf) -> str:
    """Why a change of a value may go unnoticed; empty if it may not."""
    texts = (why for what, why in NO_EFFECT.items() if re.fullmatch(what, str(leaf)))
    return next(texts, "") or of_no_frame(root, leaf) or of_no_score(root, leaf)


def of_no_frame(root: Path, leaf: Leaf) -> str:
    """Of rows of subtitles: words that no frame reads, marks of no frame."""
    prefix, _, name = str(leaf.path[0]).rpartition("/")
    if name not in ("f_sub_input_ids", "f_v_masks") or "expected" in leaf.file:
        return ""
    with np.load(root / leaf.file) as arrays:
        row, slot = np.unravel_index(leaf.path[1], arrays[leaf.path[0]].shape)
        frames = np.any(arrays[f"{prefix}/f_v_feats"][row] != 0, axis=-1)
        is_alone = arrays[f"{prefix}/f_attn_masks"][row, 0] == 0
    if name == "f_v_masks":
        return "" if frames[slot] else "a slot behind a row's frames"
    is_read = "fenc" in leaf.file or not is_alone
    return "" if is_read else "words of a subtitle without frames (H-19)"


def of_no_score(root: Path, leaf: Leaf) -> str:
    """Of an answer of score 0: its order is that of a sort (T.9)."""
    match = re.fullmatch(r".*:((no_)?nms/.*/predictions/\d+)/\d", str(leaf))
    if not match:
        return ""
    answer = content(root / leaf.file)
    for key in leaf.path[:-1]:
        answer = answer[key]
    return "" if answer[3] > 0 else "an answer of score 0"


@functools.lru_cache(maxsize=2)
def content(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def is_for_64_bits(leaf: Leaf) -> bool:
    return bool(re.fullmatch(WIDE, str(leaf)))


def problems(root: Path, file: str) -> Iterator[str]:
    """Of every case that reads a file, the least costly first."""
    folder, stem = file.rsplit("/", 1)[0], Path(file).with_suffix("").name
    finders = {
        "model": of_model,
        "optim": of_optimiser,
        "eval": of_evaluation,
        "data/expected": of_data,
        "data/e2e": of_whole_evaluation,
    }
    yield from finders[folder](Golden(root), stem)


def of_model(golden: Golden, name: str) -> Iterator[str]:
    case = golden.case(name)
    yield from meta_checks.wrong(golden, case)
    yield from batch_checks.wrong(case, golden.settings.get("frame_interval"))
    yield from mismatches(case, run(golden, name))
    for other in golden.names():
        if golden.case(other).meta.get("inputs") == f"same batch as {name}":
            yield from mismatches(golden.case(other), run(golden, other))


def of_optimiser(golden: Golden, name: str) -> Iterator[str]:
    case = optim_cases.read(golden, name)
    yield from optim_cases.wrong(golden, case)
    found = optim_cases.measured(*optim_cases.run(golden, name))
    yield from (str(one) for one in found if one.is_off)


def of_evaluation(golden: Golden, name: str) -> Iterator[str]:
    both = eval_cases.handler(name)(eval_cases.read(golden.root, name))
    yield from eval_cases.mismatches(*both)


def of_data(golden: Golden, name: str) -> Iterator[str]:
    found = data_cases.measured(golden.root, name)
    yield from (str(one) for one in found if one.is_off)


def of_whole_evaluation(golden: Golden, stem: str) -> Iterator[str]:
    is_own = stem in e2e_cases.names(golden)
    for name in [stem] if is_own else e2e_cases.parts(golden):
        found = e2e_cases.measured(*e2e_cases.run(golden, name))
        yield from (str(one) for one in found if one.is_off)


def problems_in_64_bits(root: Path, file: str) -> Iterator[str]:
    """What only the run in 64 bits can tell: changes that an epsilon makes, and how far
    parameters of 32 bits end from them."""
    golden, stem = Golden(root), Path(file).stem
    if file.startswith("model/module"):
        yield from wrong_changes(golden, stem)
    elif file.startswith("optim/"):
        with jax.enable_x64(True):
            found = optim_cases.measured(*optim_cases.run(golden, stem, "float64"))
        yield from (str(one) for one in found if one.is_off)


def wrong_changes(golden: Golden, name: str) -> Iterator[str]:
    case = golden.case(name)
    if said := case.meta.get("rel_change_with_wrong_eps"):
        found = module_cases.change_with_wrong_epsilons(golden, case)
        if not meta_checks.is_alike(said, found):
            yield f"rel_change_with_wrong_eps: {said} is said, {found} found"
