"""The model as ONNX programs: those of `programs.py` for runtimes other than JAX's.

Needs the extra `onnx`. The functions are traced here and handed over as primitives:
the converter's own tracing exchanges functions of NumPy's interface for its own, which
neither the scan over layers nor sizes that are letters survive.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from jax.extend.core import jaxpr_as_fun

from hero_jax.errors import UserError
from hero_jax.model.hero import HeroConfig
from hero_jax.programs import (
    Program,
    inputs_of,
    programs_of,
    symbolic_inputs,
    write_files,
)
from hero_jax.types import PyTree

OPSET = 21

README = """# HERO as ONNX programs

Each `.onnx` file is one program, with its parameters inside.

```python
import onnxruntime

program = onnxruntime.InferenceSession("encode_queries.onnx")
(vectors,) = program.run(None, {{"tokens": tokens, "num_tokens": num_tokens}})
```

A size of 0 may end the process. {inputs}"""


def write(config: HeroConfig, params: PyTree, folder: Path) -> None:
    """One `<name>.onnx` a program, and files that say how to call them.

    Raises:
        UserError: the extra is not installed.
    """
    convert = converter()
    wide = dataclasses.replace(config, dtype="float32")  # bfloat16 runs in few places
    found = programs_of(wide, params)
    contents = {
        f"{name}.onnx": converted(convert, name, program).SerializeToString()
        for name, program in found.items()
    }
    write_files(folder, found, contents, README.format(inputs=inputs_of(config)))


def converter() -> Callable[..., Any]:
    """The function of the extra that makes ONNX of a function of arrays."""
    try:
        with _quiet():
            from jax2onnx import to_onnx
    except ImportError:
        raise UserError(
            "export: --to onnx: jax2onnx is not installed; run "
            "`pip install 'hero-jax[onnx]'` or export --to stablehlo"
        ) from None
    return to_onnx


def converted(convert: Callable[..., Any], name: str, program: Program) -> Any:
    """The program as an ONNX model, with its letters as free sizes."""
    inputs = symbolic_inputs(program)
    with _quiet():
        return convert(
            jaxpr_as_fun(jax.make_jaxpr(program.function)(*inputs)),
            inputs,
            model_name=name,
            opset=OPSET,
            input_names=list(program.inputs),
            output_names=list(program.outputs),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter logs of plugins for libraries that are not here."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
