"""The floors of the building, its words and its map: read from the files themselves.

experiments                                     choose; may import everything below
cli train evaluate checkpoint ...               machinery: knows tasks only as Task
tasks                                           join data, model, losses, metrics
model   losses   metrics   retrieval            neighbours that never meet
types
------------------------------------------------ numpy below, JAX above
data_pipelines                                  files -> examples, without JAX
"""

import ast
import dataclasses
import importlib.util
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hero_jax", "data_pipelines", "experiments")


@dataclasses.dataclass(frozen=True)
class Rule:
    """Files matching `where` import nothing under `never` but what is under `but`."""

    where: str
    never: tuple[str, ...]
    but: tuple[str, ...] = ()
    unless: str = "-"
    """Files that the rule does not bind."""

    def binds(self, path: str) -> bool:
        return bool(
            re.fullmatch(self.where, path) and not re.fullmatch(self.unless, path)
        )

    def forbids(self, name: str) -> bool:
        return is_under(name, self.never) and not is_under(name, self.but)


def is_under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == p or name.startswith(p + ".") for p in prefixes)


def neighbour(name: str, *never: str) -> Rule:
    """One of the four that never import one another, nor anything above them."""
    return Rule(
        f"hero_jax/{name}/.*",
        ("hero_jax", "data_pipelines", *never),
        but=("hero_jax.types", f"hero_jax.{name}"),
    )


MACHINERY = r"hero_jax/\w+\.py"
# What lies in hero_jax/tasks and is no task: how any task's batches are made.
BESIDE_TASKS = ("base", "collate", "packing", "shares", "source")
RULES = {
    "data_pipelines know no JAX": Rule(
        "data_pipelines/.*",
        ("jax", "jaxlib", "flax", "optax", "orbax", "hero_jax", "experiments"),
    ),
    "the library knows no experiment": Rule("hero_jax/.*", ("experiments", "tests")),
    "types stand alone": Rule("hero_jax/types.py", ("hero_jax", "data_pipelines")),
    "the model knows no objective": neighbour("model", "optax"),
    "losses know no model": neighbour("losses", "flax"),
    "metrics are numpy": neighbour("metrics", "flax", "jax", "optax"),
    "retrieval knows no model": neighbour("retrieval", "flax", "optax"),
    "tasks know no machinery": Rule(
        "hero_jax/tasks/.*",
        ("hero_jax", "optax", "orbax", "grain"),
        but=tuple(
            f"hero_jax.{name}"
            for name in ("types", "tasks", "model", "losses", "metrics", "retrieval")
        ),
    ),
    "machinery knows tasks only as Task": Rule(
        MACHINERY,
        ("hero_jax.tasks",),
        but=tuple(f"hero_jax.tasks.{name}" for name in BESIDE_TASKS),
    ),
    "machinery reads no files of data": Rule(
        MACHINERY,
        ("data_pipelines",),
        but=("data_pipelines.files", "data_pipelines.readers.errors"),
        unless="hero_jax/cli.py",
    ),
    "linen lives in the model and in heads": Rule(
        "hero_jax/.*", ("flax.linen",), unless="hero_jax/(model|tasks)/.*"
    ),
    "only checkpoint.py knows Orbax": Rule(
        "hero_jax/.*", ("orbax",), unless="hero_jax/checkpoint.py"
    ),
    "only pipeline.py knows Grain": Rule(
        "hero_jax/.*", ("grain",), unless="hero_jax/pipeline.py"
    ),
    "only sharding.py names mesh axes": Rule(
        "hero_jax/.*",
        (
            "jax.sharding.PartitionSpec",
            "jax.make_mesh",
            "jax.P",
        ),
        unless="hero_jax/sharding.py",
    ),
    "nothing needs TensorFlow": Rule(".*", ("tensorflow", "tensorboard", "torch")),
}


def test_imports_point_downwards():
    broken = [
        f"{path}:{line} imports {name}: {title}"
        for path in tracked("*.py")
        if path.split("/")[0] in PACKAGES
        for line, name in imports((ROOT / path).read_text("utf-8"), path)
        for title, rule in RULES.items()
        if rule.binds(path) and rule.forbids(name)
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("path", "source", "title"),
    [
        (
            "data_pipelines/a.py",
            "import jax.numpy as jnp",
            "data_pipelines know no JAX",
        ),
        ("hero_jax/losses/a.py", "from ..model import hero", "losses know no model"),
        (
            "hero_jax/train.py",
            "def f():\n    from .tasks.vsm import Vsm",
            "machinery knows tasks only as Task",
        ),
        (
            "hero_jax/retrieval/a.py",
            "importlib.import_module('hero_jax.metrics.recall')",
            "retrieval knows no model",
        ),
        (
            "hero_jax/train.py",
            "import jax\nx = jax.sharding.PartitionSpec('data')",
            "only sharding.py names mesh axes",
        ),
        (
            "hero_jax/tasks/vsm.py",
            "if TYPE_CHECKING:\n    from hero_jax import train",
            "tasks know no machinery",
        ),
    ],
)
def test_an_upward_import_is_seen_however_it_is_written(path, source, title):
    assert RULES[title].binds(path)
    assert any(RULES[title].forbids(name) for _, name in imports(source, path))


def test_what_the_floors_allow_is_allowed():
    source = "from hero_jax.tasks.base import Task\nfrom . import sharding, types"
    found = list(imports(source, "hero_jax/train.py"))
    for rule in (r for r in RULES.values() if r.binds("hero_jax/train.py")):
        assert not any(rule.forbids(name) for _, name in found)


# Uses of the banned word that mean something else: gradients, array bounds, the model
# CLIP, and the file and key names of others (TVC calls a moment's key "clip_id").
OTHER_CLIPS = re.compile(
    r"clip_by_\w+|\w*clip_norm|\.clip\(|CLIP|gradients? clip\w*|clip\w* gradients?"
    r"|clip_input_annotations|\bclip_(id|name)\b|\bclip2vid|\bclip\.db|clip-vit_"
)
OFFICIAL_NAMES = re.compile(
    r"tests/(golden|parity)/.*|(tests/)?hero_jax/(test_)?(pretrained|optimizer).*"
    r"|tests/test_(architecture|deviations)\.py|docs/(migrating|parity)\.md"
)


def test_a_video_is_called_a_video():
    broken = [
        f"{path}:{number} says {line.strip()!r}; the glossary says 'video'"
        for path in tracked("*.py", "*.md", "*.sh")
        if not OFFICIAL_NAMES.fullmatch(path)
        for number, line in enumerate(lines(path), 1)
        if "clip" in OTHER_CLIPS.sub("", line).lower()
    ]
    assert not broken, "\n".join(broken)


# Written in pieces, so that this file does not find itself.
PRIVATE = re.compile(
    "|".join(
        [
            "/" + r"(work|root|home|farm|tmp)/\w",
            "pypi" + r"\.org|pythonhosted" + r"\.org|hugging" + r"face\.co",
        ]
    )
)


def test_no_file_names_a_machine_or_a_registry():
    broken = [
        f"{path}:{number} names {found[0]}"
        for path in tracked()
        if not (ROOT / path).is_symlink()
        for number, line in enumerate(lines(path), 1)
        if (found := PRIVATE.search(line))
    ]
    assert not broken, "\n".join(broken)


def test_every_module_opens_with_what_it_is_for():
    silent = [
        path
        for path in tracked("*.py")
        if path.split("/")[0] in PACKAGES
        and (ROOT / path).read_text("utf-8").strip()
        and not ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))
    ]
    assert not silent, f"no docstring: {', '.join(silent)}"


def test_the_tree_of_the_readme_is_the_tree():
    script = ROOT / "docs" / "readme_tree.py"
    spec = importlib.util.spec_from_file_location("readme_tree", script)
    readme_tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme_tree)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme == readme_tree.with_tree(readme), "run `make tree`"


def tracked(*patterns: str) -> list[str]:
    """Paths of the project's files, as git knows them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    return [path for path in listed if path and (ROOT / path).is_file()]


def lines(path: str) -> list[str]:
    """The lines of a text file; none of a binary one."""
    raw = (ROOT / path).read_bytes()
    return [] if b"\0" in raw else raw.decode("utf-8", "replace").splitlines()


def imports(source: str, path: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that a file imports, wherever it does so.

    Names reached through an imported package (`jax.sharding.Mesh`) count as well.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, name) for name in from_import(node, path))
        elif isinstance(node, ast.Attribute) and (name := dotted(node)):
            yield node.lineno, name
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            yield from ((node.lineno, a.value) for a in node.args if is_text(a))


def from_import(node: ast.ImportFrom, path: str) -> list[str]:
    """`from ..model import hero` in hero_jax/tasks/vsm.py is hero_jax.model.hero."""
    package = Path(path).parts[: -node.level] if node.level else ()
    base = ".".join([*package, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def dotted(node: ast.AST) -> str:
    """`jax.sharding.Mesh` of such an expression; empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if inner else ""


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
