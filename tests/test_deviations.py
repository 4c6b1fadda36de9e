"""docs/deviations.md names every quirk, and every option it names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("deviations.md", "migrating.md")
CODE = ("hero_jax", "data_pipelines", "experiments")


def rows():
    """Cells of every quirk's row, by id."""
    text = (ROOT / "docs/deviations.md").read_text("utf-8")
    lines = re.findall(r"^\| (H-\d+) \|(.*)\|$", text, re.MULTILINE)
    return {quirk: [c.strip() for c in rest.split(" | ")] for quirk, rest in lines}


def test_every_quirk_has_one_complete_row():
    text = (ROOT / "docs/deviations.md").read_text("utf-8")
    assert re.findall(r"^\| (H-\d+) \|", text, re.MULTILINE) == [
        f"H-{number}" for number in range(1, 67)
    ]
    for quirk, cells in rows().items():
        official, ours, *way_back = cells
        assert official and ours, quirk
        is_settled = re.match(r"same\b|n/a\b", ours)
        assert is_settled or any(way_back), f"{quirk}: how to restore it, or why not"


def definitions():
    """Every class, function, field, option and module of the code, by name.

    A class or function maps to the names it takes; everything else to none.
    """
    found: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for path in (p for folder in CODE for p in (ROOT / folder).rglob("*.py")):
        for name in (path.stem, *path.relative_to(ROOT).parts):
            found.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names = {n for n in map(name_of, node.body) if n}
                bases[node.name] = [b.id for b in node.bases if isinstance(b, ast.Name)]
                found.setdefault(node.name, set()).update(names)
                found.update({n: found.get(n, set()) for n in names})
            elif isinstance(node, ast.FunctionDef):
                taken = {a.arg for a in (*node.args.args, *node.args.kwonlyargs)}
                found.setdefault(node.name, set()).update(taken)
            elif name := name_of(node):
                found.setdefault(name, set())
    for name in bases:
        found[name] |= inherited(name, bases, found)
    return found


def name_of(node):
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return node.name if isinstance(node, ast.FunctionDef) else None


def inherited(name, bases, found):
    names = set()
    for base in bases.get(name, []):
        names |= found.get(base, set()) | inherited(base, bases, found)
    return names


@pytest.fixture(scope="module")
def known():
    return definitions()


def ours(page):
    """What stands in back-ticks in the cells about our code: the second on."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    for line in text.splitlines():
        cells = line.strip().strip("|").split(" | ")
        is_table = line.startswith("|") and len(cells) > 1
        for cell in cells[1:] if is_table else []:
            # In deviations.md the official behaviour comes second, after the id.
            if not (re.match(r"\| H-\d+ ", line) and cell is cells[1]):
                yield from re.findall(r"`([^`]+)`", cell)


def missing(quoted, known):
    """What is named in a quotation and does not exist; empty if all does."""
    call = re.fullmatch(r"([\w.]+)\((.*)\)", quoted)
    if call and "(" not in call[2]:
        name = call[1].split(".")[-1]
        options = re.findall(r"(\w+)=", call[2])
        if name not in known:
            return [name]
        return [o for o in options if o not in known[name]]
    if re.fullmatch(r"[A-Za-z]\w*(\.\w+)+", quoted):
        parts = quoted.split(".")
        is_file = (ROOT / quoted).exists() or list(ROOT.glob(f"*/{quoted}"))
        return [] if is_file else [part for part in parts if part not in known]
    if re.fullmatch(r"\w+/[\w/.]+", quoted):
        return [] if (ROOT / quoted).exists() else [quoted]
    if quoted.startswith(("python -m ", "hero-jax ", "--")):
        return missing_options(quoted, known)
    if re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", quoted):
        return [] if quoted in known else [quoted]
    return []


def missing_options(command, known):
    options = re.findall(r"--([\w.]+)", command)
    wanted = [part for option in options for part in option.split(".")]
    modules = re.findall(r"-m ([\w.]+)", command)
    files = [m for m in modules if not (ROOT / (m.replace(".", "/") + ".py")).exists()]
    return files + [name for name in wanted if name not in known]


@pytest.mark.parametrize("page", PAGES)
def test_every_option_that_is_named_exists(page, known):
    wrong = {quoted: gone for quoted in ours(page) if (gone := missing(quoted, known))}
    assert not wrong


def test_an_option_that_does_not_exist_is_noticed(known):
    assert missing("VSM(hard_start_step=None)", known) == []
    assert missing("VSM(hard_strat_step=None)", known) == ["hard_strat_step"]
    assert missing("Vsn(hard_start_step=None)", known) == ["Vsn"]
    assert missing("OptimizerConfig.head_multiplayer", known) == ["head_multiplayer"]
    assert missing("python -m experiments.nothing --steps 3", known)
    assert missing("python -m experiments.tvqa --stebs 3", known) == ["stebs"]
    assert missing("experiments/nothing.py", known)


SCRIPTS = """pretrain train_vcmr train_vr train_videoQA train_violin train_tvc eval_vcmr
eval_vr eval_videoQA eval_violin inf_tvc prepro_sub train_retrieval train_qa
train_captioning train_all_multitask"""
KEYS = """train_batch_size gradient_accumulation_steps learning_rate num_train_steps
warmup_steps lr_mul optim betas weight_decay grad_norm dropout fp16 seed n_workers
pin_mem valid_steps save_steps checkpoint load_partial_pretrained output_dir targets
mask_prob max_clip_len max_txt_len sub_ctx_len vfeat_version vfeat_interval
compressed_db margin ranking_loss_type lw_neg_ctx lw_neg_q hard_pool_size
hard_neg_weights hard_negtiave_start_step hard_negative_start_step use_all_neg lw_st_ed
qa_lw_st_ed drop_svmr_prob train_span_start_step min_pred_l max_pred_l nms_thd q2c_alpha
max_vcmr_video max_vr_video max_before_nms max_after_nms vcmr_eval_video_batch_size
vcmr_eval_q_batch_size full_eval_tasks distributed_eval lsr max_gen_step max_cap_per_vid
f_config c_config q_config d_config video_sub_fusion_method train_datasets
val_datasets"""
"""Of the official JSON files and command lines."""


def test_whoever_moves_finds_every_script_and_key():
    first_cells = re.findall(r"^\| (.*?) \|", moving(), re.MULTILINE)
    quoted = {word for cell in first_cells for word in re.findall(r"\w+", cell)}
    assert not {*SCRIPTS.split(), *KEYS.split()} - quoted


def moving():
    return (ROOT / "docs/migrating.md").read_text("utf-8")


def test_every_reported_problem_has_an_answer():
    section = moving().split("## What people asked for")[1]
    answers = dict(re.findall(r"^\| (.+?) \| (.+) \|$", section, re.MULTILINE))
    assert len(answers) >= 20 and all(answers.values())
