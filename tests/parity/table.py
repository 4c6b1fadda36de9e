"""The parity table of the docs: `make parity` rewrites docs/parity.md.

    python -m tests.parity.table [--golden DIR] [--only PATTERN] [--out docs/parity.md]

One row a recorded case: of everything compared in it, what came closest to its
tolerance, in 32 and in 64 bits.
"""

import argparse
import dataclasses
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "hero_jax/model")]
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Far more is compiled here than run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import data_cases  # noqa: E402
import e2e_cases  # noqa: E402
import eval_cases  # noqa: E402
import jax  # noqa: E402
import optim_cases  # noqa: E402
import parity_harness  # noqa: E402
from parity_harness import Golden, Measured  # noqa: E402
from run_cases import run  # noqa: E402

INTRODUCTION = """\
# Parity with the official code

What this code computes beside what the official PyTorch code computed, on the recorded
cases of `tests/golden` (tiny models, the official classes on a CPU; see its README).
`pytest tests/parity` fails where a difference exceeds its tolerance, where a recorded
file is not read, or where one recorded value is changed on which anything depends
(`tests/parity/problems.py` names the others, with reasons); with `--golden DIR` it
checks any other recording of that layout. `make parity` rewrites this page.

A row shows, of everything compared in a case, what came closest to its tolerance:
difference / tolerance. Differences are shares of the largest value of their array, of a
gradient array, or of a norm; of parameters after training they count as they are. The
official code's own rounding, 32 against 64 bits, is up to 1.3e-6; the last digits
depend on the processor and on the version of XLA. "equal" means that integers, texts
and copied numbers are the same. 64-bit cells are empty where nothing was recorded in 64
bits.
"""

NOT_RECORDED = {
    "fusion of videos and subtitles: add, concat, sequence (A.9)": "VALUE alone",
    "two-stream score fusion (F.8)": "VALUE alone",
    "VLEP (D.5)": "VALUE alone; the model is that of the other questions",
    "multi-task sampling and ratios (D.8)": "VALUE alone",
    "subtitles alone (B.8)": "VALUE alone",
    "METEOR and the PTB tokenizer (F.7)": "need Java",
    "byte-pair encoding of real texts (B.2)": "recorded with a toy tokenizer",
    "fp16 (G.3)": "run with apex on GPUs alone",
    "dropout": "random",
}
"""What the official systems do and no recording holds, and why."""
FOOTER = """\
## Not recorded

No recording holds these. What is built of them follows the description, and is tested
on cases worked by hand.

| what | why there is no recording |
|---|---|
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One case."""

    folder: str
    case: str
    narrow: tuple[Measured, ...]
    wide: tuple[Measured, ...] = ()

    def __str__(self) -> str:
        cells = (self.folder, f"`{self.case}`", str(len(self.narrow)))
        return "| {} | {} | {} | {} | {} |".format(
            *cells, shown(self.narrow), shown(self.wide)
        )


def closest(found: Sequence[Measured]) -> Measured:
    """What uses up most of its tolerance."""
    return max(found, key=lambda m: m.worst / m.allowed if m.allowed else m.worst)


def shown(found: Sequence[Measured]) -> str:
    if not found:
        return ""
    if wrong := [one for one in found if one.is_off]:
        return f"**wrong: {wrong[0]}**"
    top = closest(found)
    return f"{top.worst:.1e} / {top.allowed:.0e}" if top.worst else "equal"


def rows(golden: Golden, only: str = "") -> Iterator[Row]:
    """Every recorded case whose name fits, in the order of the folders."""
    fits = re.compile(only).search
    for name in filter(fits, golden.names()):
        case = golden.case(name)
        narrow = parity_harness.measured(case, run(golden, name))
        with jax.enable_x64(True):
            result = run(golden, name, "float64")
        wide = parity_harness.measured(case, result, "float64")
        yield Row("model", name, tuple(narrow), tuple(filter(is_wide, wide)))
    for name in filter(fits, optim_cases.names(golden)):
        narrow = optim_cases.measured(*optim_cases.run(golden, name))
        with jax.enable_x64(True):
            wide = optim_cases.measured(*optim_cases.run(golden, name, "float64"))
        has_wide = bool(optim_cases.read(golden, name).under("out64/"))
        yield Row("optim", name, tuple(narrow), tuple(wide) if has_wide else ())
    for name in filter(fits, eval_cases.names(golden.root)):
        handler = eval_cases.handler(name)
        both = handler(eval_cases.read(golden.root, name))
        yield Row("eval", name, tuple(eval_cases.measured(*both)))
    for name in filter(fits, e2e_cases.names(golden)):
        found = e2e_cases.measured(*e2e_cases.run(golden, name))
        yield Row("data/e2e", name, tuple(found))
    for name in filter(fits, data_cases.names(golden.root)):
        yield Row("data/expected", name, tuple(data_cases.measured(golden.root, name)))


def is_wide(one: Measured) -> bool:
    """Whether it was recorded in 64 bits; whole gradients were not."""
    return "64" in one.name.split("/")[0].split(" ")[0]


def page(found: Iterator[Row]) -> str:
    head = (
        "| recorded in | case | compared | 32 bits: off / allowed | 64 bits |",
        "|---|---|---|---|---|",
    )
    last = (f"| {what} | {why} |" for what, why in NOT_RECORDED.items())
    lines = (INTRODUCTION, *head, *map(str, found), "", FOOTER.rstrip("\n"), *last)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--golden", type=Path, default=HERE.parent / "golden")
    parser.add_argument("--only", default="", help="cases whose name fits a pattern")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/parity.md")
    options = parser.parse_args()
    found = rows(Golden(options.golden), options.only)
    options.out.write_text(page(map(told, found)), "utf-8")


def told(row: Row) -> Row:
    print(row, file=sys.stderr, flush=True)
    return row


if __name__ == "__main__":
    main()
