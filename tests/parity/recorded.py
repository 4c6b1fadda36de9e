"""What our own recordings hold, value by value, so that a damaged copy is known as one.

python tests/parity/recorded.py        writes digests.json anew, for new recordings

Some recorded values bear on no recorded result (`problems.NO_EFFECT`); a comparison of
results cannot notice when they change.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

OURS = Path(__file__).parents[1] / "golden"
DIGESTS = Path(__file__).with_name("digests.json")
COPY = 0.9
"""Share of our files that another folder must hold unchanged to be a copy of ours."""


def digest(path: Path) -> str:
    """Of the values in a file, however they are written down."""
    content: Any = path.read_bytes()
    try:
        if path.suffix in (".json", ".jsonl"):
            lines = [content] if path.suffix == ".json" else content.splitlines()
            content = json.dumps(
                [json.loads(x) for x in lines], sort_keys=True
            ).encode()
        elif path.suffix == ".npz":
            with np.load(path) as arrays:
                named = sorted(arrays.items())
            kinds = [(n, str(a.dtype), a.shape) for n, a in named]
            content = repr(kinds).encode() + b"".join(a.tobytes() for _, a in named)
    except (ValueError, OSError):
        pass  # whoever reads the file says what is wrong with it
    return hashlib.sha256(content).hexdigest()[:16]


def digests(root: Path) -> dict[str, str]:
    """Path in the folder -> digest."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): digest(path) for path in files}


def damaged(root: Path) -> list[str]:
    """Files that a copy of our recordings lost or changed; none in any other set."""
    ours, found = json.loads(DIGESTS.read_text("utf-8")), digests(root)
    changed = [name for name, known in ours.items() if found.get(name) != known]
    return changed if len(changed) <= (1 - COPY) * len(ours) else []


if __name__ == "__main__":
    content = json.dumps(digests(OURS), indent=0)
    DIGESTS.write_text(content + "\n", "utf-8")
