"""The model as StableHLO programs, which run wherever JAX does, without this package.

    encode_queries    tokens [q t], num_tokens [q]              -> vectors [q D]
    encode_videos     features [b f E], num_frames [b], rows    -> frames [b f D]
    score             vectors [q D], frames [b f D], num_frames -> scores [q b], and
                      the logits of a moment's first and last frame [q b f]

Lower-case sizes are free. Rows are the packed segments of `model/layout.py`: tokens,
segment, position and frame, [r l] each. Parameters are inside the programs.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export

from hero_jax.model import moment
from hero_jax.model.hero import Hero, HeroConfig
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.types import Array, PyTree

PLATFORMS = ("cpu", "cuda", "tpu")
SIGNATURES = "programs.json"

README = """# HERO as programs

Each `.stablehlo` file is one program, with its parameters inside, for {platforms}.

```python
from jax import export

program = export.deserialize(open("encode_queries.stablehlo", "rb").read())
vectors = program.call(tokens, num_tokens)
```

{inputs}"""
INPUTS = """`programs.json` lists what goes in and comes out; sizes that are letters are
free, and 1 or more. A query has at most {query} tokens (t) and a video {frames}
frames (f); a position in a segment lies below {words} for words and below {segment}
for frames. What lies beyond is NaN. Videos without subtitles have no rows; where there
would be none at all, give one of zeros with -1 in `frame`.

Token ids begin with that of `<s>`; `segment` counts from 1 within a row and is 0 where
there is nothing, `position` counts within a segment, words and frames apart, and
`frame` is b * f + the number of the frame in its video, or -1 where a word stands.
"""


def inputs_of(config: HeroConfig) -> str:
    """What has to be known to call the programs of a model, in words."""
    return INPUTS.format(
        query=min(config.max_query_positions, config.max_positions),
        frames=config.max_frames,
        words=config.max_positions,
        segment=config.max_segment_frames,
    )


class Program(NamedTuple):
    """A function of arrays, and what they are: name -> type and shape."""

    function: Callable[..., Any]
    inputs: dict[str, tuple[str, str]]
    outputs: dict[str, tuple[str, str]]


def programs_of(config: HeroConfig, params: PyTree) -> dict[str, Program]:
    """Every program that some parameters of `Hero` are enough for."""
    hero = Hero(config)
    call = lambda method, *inputs: hero.apply(
        {"params": params}, *inputs, method=method
    )
    width, features = config.width, config.feature_width
    row = ("int32", "r, l")
    frames = {"frames": ("float32", f"b, f, {width}")}
    num_frames = {"num_frames": ("int32", "b")}
    vectors = {"vectors": ("float32", f"q, {width}")}
    found = {
        "encode_videos": Program(
            lambda *inputs: _wide(call("encode_videos", _videos(*inputs))),
            {"features": ("float32", f"b, f, {features}")}
            | num_frames
            | dict.fromkeys(("tokens", "segment", "position", "frame"), row),
            frames,
        )
    }
    if "query" not in params:
        return found
    found["encode_queries"] = Program(
        lambda *inputs: _wide(call("encode_queries", _texts(*inputs))),
        {"tokens": ("int32", "q, t"), "num_tokens": ("int32", "q")},
        vectors,
    )

    def score(vectors: Array, frames: Array, num_frames: Array) -> tuple[Array, ...]:
        mask = jnp.arange(frames.shape[1]) < num_frames[:, None]
        scores = _video_scores(vectors, frames, mask, config.score)
        spans = call("all_span_logits", vectors, frames, mask) if has_spans else ()
        return tuple(map(_wide, (scores, *spans)))

    has_spans = "span" in params
    scores = {"scores": ("float32", "q, b")}
    logits = dict.fromkeys(("first", "last"), ("float32", "q, b, f"))
    found["score"] = Program(
        score, vectors | frames | num_frames, scores | (logits if has_spans else {})
    )
    return found


def write(config: HeroConfig, params: PyTree, folder: Path) -> None:
    """One `<name>.stablehlo` a program, and files that say how to call them."""
    readme = README.format(platforms=", ".join(PLATFORMS), inputs=inputs_of(config))
    found = programs_of(config, params)
    contents = {f"{n}.stablehlo": exported(p).serialize() for n, p in found.items()}
    write_files(folder, found, contents, readme)


def write_files(
    folder: Path,
    programs: Mapping[str, Program],
    contents: Mapping[str, bytes | bytearray],
    readme: str,
) -> None:
    """The programs in some format, by file, with their signatures and the README."""
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    signatures = {
        name: {"inputs": program.inputs, "outputs": program.outputs}
        for name, program in programs.items()
    }
    text = json.dumps(signatures, indent=1)
    (folder / SIGNATURES).write_text(text + "\n", "utf-8")
    (folder / "README.md").write_text(readme, "utf-8")


def exported(program: Program) -> export.Exported:
    """The program for one device, with its letters as free sizes."""
    inputs = symbolic_inputs(program)
    return export.export(jax.jit(program.function), platforms=PLATFORMS)(*inputs)


def symbolic_inputs(program: Program) -> list[jax.ShapeDtypeStruct]:
    """What goes in, with letters in the place of sizes."""
    scope = export.SymbolicScope()
    return [
        jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), dtype)
        for dtype, shape in program.inputs.values()
    ]


def _texts(tokens: Array, num_tokens: Array) -> TextBatch:
    """One text a row."""
    place = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
    segment = (place < num_tokens[:, None]).astype(jnp.int32)
    row = jnp.arange(tokens.shape[0], dtype=jnp.int32)
    return TextBatch(tokens, segment, place, row, (num_tokens > 0).astype(jnp.int32))


def _videos(
    features: Array,
    num_frames: Array,
    tokens: Array,
    segment: Array,
    position: Array,
    frame: Array,
) -> VideoBatch:
    mask = jnp.arange(features.shape[1]) < num_frames[:, None]
    return VideoBatch(features, mask, tokens, segment, position, frame)


def _video_scores(
    vectors: Array, frames: Array, frame_mask: Array, score: moment.FrameScore
) -> Array:
    """`moment.video_scores` in one piece: how to divide the work depends on sizes."""
    cosines = jnp.einsum(
        "qd,bfd->qbf", moment.normalise(vectors), moment.normalise(frames)
    )
    return score(cosines, jnp.broadcast_to(frame_mask, cosines.shape))


def _wide(x: Any) -> Array:
    return jnp.asarray(x, jnp.float32)
