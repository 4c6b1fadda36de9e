"""Whether the suite notices one wrong value: for the tests of every folder."""

import random
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import damage
import problems
from damage import Leaf
from run_cases import SAID


def unnoticed(root: Path, leaves: Sequence[Leaf]) -> list[str]:
    """Those of some leaves that may be changed without a word."""
    return [str(leaf) for leaf in leaves if not is_noticed(root, leaf)]


def is_noticed(root: Path, leaf: Leaf) -> bool:
    """Whether a copy with another value fails; an error is a failure, too."""
    find = (
        problems.problems_in_64_bits
        if problems.is_for_64_bits(leaf)
        else problems.problems
    )
    with tempfile.TemporaryDirectory() as folder:
        copy = damage.damaged_copy(root, leaf, Path(folder) / "set")
        try:
            return next(find(copy, leaf.file), None) is not None
        except Exception:
            return True


def some(root: Path, file: str, count: int, *, needs_model: bool) -> list[Leaf]:
    """Leaves of a file by chance, of those that have to be noticed.

    Without `needs_model` they are those for which our model has not to run again.
    """
    rng = random.Random(file)
    found = list(damage.leaves(root, file, per_array=20))
    rng.shuffle(found)
    is_asked = lambda leaf: (
        not problems.reason(root, leaf)
        and not problems.is_for_64_bits(leaf)
        and (needs_model or not is_read(leaf))
    )
    return list(filter(is_asked, found))[:count]


def is_read(leaf: Leaf) -> bool:
    """Whether our model has to run on a value before it can be found wrong."""
    name = str(leaf.path[0])
    if leaf.file.startswith(("model/", "optim/traj")):
        is_array = leaf.file.endswith(".npz")
        if MADE_AGAIN.fullmatch(name):
            return False
        return name.startswith("in") if is_array else not SAID.fullmatch(name)
    names = {"max_step", "weights", "model_opts", "video_batch_size"}
    return leaf.file.startswith("data/e2e") and bool(names.intersection(leaf.path))


MADE_AGAIN = re.compile(
    r".*(pos_ids|position_ids|attn_masks?|gather_index|q_vidx|_meta)|inputs"
)
"""What batches are checked for without the model."""
