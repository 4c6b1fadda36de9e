"""Runs our model on the inputs of any recorded case, in official mode."""

import functools
import re

import answer_cases
import caption_cases
import parity_cases
import pretraining_cases
from parity_harness import Golden, Result

HANDLERS = (
    parity_cases.HANDLERS
    | pretraining_cases.HANDLERS
    | answer_cases.HANDLERS
    | caption_cases.HANDLERS
)


@functools.cache
def run(golden: Golden, name: str, dtype: str = "float32") -> Result:
    """Our outputs and gradients for one case."""
    case = golden.case(name)
    for pattern, handler in HANDLERS.items():
        if re.fullmatch(pattern, name):
            return handler(golden, case, dtype)
    raise LookupError(f"no handler for the case {name}")
