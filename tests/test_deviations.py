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
