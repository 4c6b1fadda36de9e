"""METEOR 1.5, where the machine has Java and the package that carries its program."""

import importlib
import importlib.util
import shutil
from collections.abc import Sequence

PACKAGE = "pycocoevalcap"
"""Installed by the extra `meteor`: METEOR's own program and its English tables."""


def meteor(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float | None:
    """In percent (F.7); None without Java, without the package, or for other scripts.

    The tables are English, so texts with other than ASCII letters are not scored.
    """
    is_there = shutil.which("java") and importlib.util.find_spec(PACKAGE)
    is_ascii = all(r.isascii() for some in references for r in some)
    if not (is_there and is_ascii):
        return None
    scorer = importlib.import_module(f"{PACKAGE}.meteor.meteor").Meteor()
    written = {i: [text] for i, text in enumerate(texts)}
    return 100 * float(scorer.compute_score(dict(enumerate(references)), written)[0])
