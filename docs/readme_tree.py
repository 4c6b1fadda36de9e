"""Writes the tree in README.md: every file with the first sentence it says of itself.

python docs/readme_tree.py        (or: make tree)
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hero_jax", "data_pipelines", "experiments")
BEGIN, END = "<!-- tree: make tree -->\n```\n", "```\n<!-- end of tree -->"


def main() -> None:
    """Replaces the tree between its two marks."""
    path = ROOT / "README.md"
    path.write_text(with_tree(path.read_text("utf-8")), "utf-8")


def with_tree(readme: str) -> str:
    """The README with its tree as it should be now."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + "\n".join(tree()) + "\n" + END + after


def tree() -> Iterator[str]:
    """Folders and files, indented, each with what it is for."""
    shown: tuple[str, ...] = ()
    for path in sorted(files(), key=place):
        folders = path.relative_to(ROOT).parent.parts
        for depth, folder in enumerate(folders):
            if shown[: depth + 1] != folders[: depth + 1]:
                inside = ROOT.joinpath(*folders[: depth + 1], "__init__.py")
                about = sentence(inside) if inside.exists() else ""
                yield row(depth, f"{folder}/", about)
        shown = folders
        if path.name != "__init__.py":
            yield row(len(folders), path.name, sentence(path))


def place(path: Path) -> tuple[int, tuple[str, ...], str]:
    """Packages in the order above; in each folder files come before folders."""
    folders = path.relative_to(ROOT).parent.parts
    return PACKAGES.index(folders[0]), folders, path.name


def files() -> list[Path]:
    """The files of the packages that git knows and that hold something."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split("\0")
    paths = [ROOT / name for name in listed if name]
    return [path for path in paths if path.is_file() and path.stat().st_size]


def row(depth: int, name: str, about: str) -> str:
    return f"{'  ' * depth + name:<26}  {about}".rstrip()


def sentence(path: Path) -> str:
    """The first sentence of a docstring, of a script's comment or below a heading."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(re.sub(r"^# %%.*\n", "", text))) or ""
    elif path.suffix == ".ipynb":
        text = "".join(json.loads(text)["cells"][0]["source"]).removeprefix("# ")
    elif path.suffix == ".sh":
        text = re.sub(r"(?m)^# ?", "", text.removeprefix("#!/usr/bin/env bash\n"))
    paragraphs = [p for p in text.split("\n\n") if not p.startswith("#")]
    words = " ".join(paragraphs[0].split())
    return re.split(r"\.(?: (?=[A-Z])|$)", words)[0].rstrip(":")


if __name__ == "__main__":
    main()
