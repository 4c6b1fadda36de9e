"""Exported folders: what lies in them, and that no file of them has changed since."""

import json
from pathlib import Path

import jax.numpy as jnp

from hero_jax import checkpoint, weight_files
from hero_jax.errors import UserError
from hero_jax.paths import nested
from hero_jax.types import PyTree

CONFIG = "config.json"
"""The configuration; a run directory has it, too."""
MODEL = "model.safetensors"
"""The parameters, where a run directory has checkpoints."""
CORPORA = "corpora"
"""Videos as the model reads them."""
MANIFEST = "manifest.json"
"""The SHA-256 of every other file."""
FORMAT = 1


def seal(folder: Path) -> None:
    """Writes the manifest of all files that are there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    digests = {
        path.relative_to(folder).as_posix(): weight_files.sha256(path) for path in files
    }
    content = json.dumps({"format": FORMAT, "sha256": digests}, indent=1)
    (folder / MANIFEST).write_text(content + "\n", "utf-8")


def check(folder: Path) -> None:
    """Raises UserError, in one line, for the first file that is not as it was."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found, digests = manifest["format"], dict(manifest["sha256"])
        listed = {*digests, MANIFEST}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: cannot be read; get the folder again") from None
    if found != FORMAT:
        raise UserError(f"{path}: format: found {found!r}, expected {FORMAT}")
    files = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    for name in sorted({CONFIG, MODEL, *filter(_is_read, files)} - listed):
        raise UserError(f"{folder / name}: is not in {MANIFEST}; get the folder again")
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file() or weight_files.sha256(file) != digest:
            raise UserError(
                f"{file}: its SHA-256 is not that in {MANIFEST}; get the folder again"
            )


def _is_read(name: str) -> bool:
    """Whether a file belongs to the model; notes of others may lie beside it."""
    return not name.startswith(".") and Path(name).suffix not in ("", ".md", ".txt")


def is_exported(folder: Path) -> bool:
    """Also where the parameters are lost, so that this is what is said."""
    is_sealed = (folder / CONFIG).is_file() and (folder / MANIFEST).is_file()
    return is_sealed or (folder / MODEL).is_file()


def load_params(folder: Path) -> PyTree:
    """The parameters of an exported folder, or the newest ones of a run."""
    if is_exported(folder):
        return read_params(folder)
    return checkpoint.load_params(folder)[1]


def read_params(folder: Path) -> PyTree:
    """The parameters, after a check of every file."""
    check(folder)
    leaves = weight_files.read(folder / MODEL)
    return nested({name: jnp.asarray(leaf) for name, leaf in leaves.items()})
