"""What experiments share: a small model, a compilation cache, a run's description."""

import contextlib
import ctypes
import dataclasses
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import jax

from data_pipelines import tokenizers
from data_pipelines.build import Built
from data_pipelines.schema import Corpus
from hero_jax import checkpoint, processes, report, text_encoders
from hero_jax.errors import UserError
from hero_jax.model.hero import HeroConfig
from hero_jax.model.transformer import TransformerConfig
from hero_jax.tasks.source import Source
from hero_jax.train import check_fresh

Dtype = Literal["float32", "bfloat16"]
NUM_HEADS = 4
LEAST: Mapping[str, int] = {
    "max_frames": 1,
    "context": 0,
    "num_beams": 1,
    "longest_query": 1,
    "num_workers": 0,
    "warmup_steps": 0,
}
"""The least of options that not every experiment has."""
JAX = tuple(map(int, jax.__version__.split(".")[:2]))
MALLOC_OPTIONS = {-8: 1, -4: 0, -1: 2**31 - 1, -2: 2**26}
"""mallopt(3): M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD."""
PACKAGES = ("jax", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def small_model(
    source: Source, *, width: int, layers: int = 1, dropout: float = 0.0
) -> HeroConfig:
    """A HERO that learns from nothing in minutes on a CPU."""
    vocab_size = source.load_tokenizer().vocab_size
    unused = -vocab_size % 8
    shape = small_shape(source, width=width, layers=layers, dropout=dropout)
    return dataclasses.replace(
        shape,
        vocab_size=vocab_size + unused,
        unused_words=unused,
        feature_width=source.feature_width,
    )


def small_shape(
    source: Source, *, width: int, layers: int, dropout: float
) -> HeroConfig:
    """The small model but for its vocabulary and its frames; reads no file."""
    tower = TransformerConfig(
        width=width,
        num_heads=NUM_HEADS,
        num_layers=layers,
        mlp_width=2 * width,
        dropout=dropout,
    )
    return HeroConfig(
        max_positions=source.row_length,
        max_segment_frames=source.row_length,
        max_frames=source.max_frames,
        max_query_positions=source.row_length,
        cross_modal=tower,
        temporal=tower,
        query_heads=NUM_HEADS,
        dropout=dropout,
        initializer="transparent",
    )


def paper_model(source: Source, *, width: int, dtype: Dtype) -> HeroConfig:
    """The paper's model; another width changes heads and inner layers with it."""
    vocab_size = source.load_tokenizer().vocab_size
    unused = -vocab_size % 8
    num_heads = max(1, width // 64)
    tower = lambda num_layers: TransformerConfig(
        width=width,
        num_heads=num_heads,
        num_layers=num_layers,
        mlp_width=4 * width,
    )
    return HeroConfig(
        vocab_size=vocab_size + unused,
        unused_words=unused,
        feature_width=source.feature_width,
        cross_modal=tower(6),
        temporal=tower(3),
        query_heads=num_heads,
        dtype=dtype,
    )


def check_vocabulary(start: Path | None, source: Source) -> None:
    """Refuses weights of a language model that know other words than the tokenizer.

    Tables of nearly the same size pass for padded ones, and every word would be read
    as another. Runs and released HERO weights are told by their shapes.
    """
    if start is not None and text_encoders.is_language_model(start):
        words = source.load_tokenizer().vocab_size
        text_encoders.check_vocabulary(text_encoders.read(start), words)


def sized_like(start: Path | None, model: HeroConfig) -> HeroConfig:
    """The model with the widths, words and positions of a language model, if any."""
    if start is None or not text_encoders.is_language_model(start):
        return model
    return text_encoders.config_like(start, model)


def say_built(built: Built) -> None:
    """What was built, after what was odd about its files."""
    for warning in built.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    say(str(built))


def make_tokenizer(path: Path, corpus: Corpus, *, vocab_size: int) -> None:
    """One joint vocabulary of a corpus' languages, unless it is there already."""
    if not path.exists():
        tokenizers.train(texts_of(corpus), vocab_size=vocab_size).save(path)


def texts_of(corpus: Corpus) -> Iterable[str]:
    """Every subtitle, query and parallel text in the languages of the corpus."""
    for language in corpus.languages:
        for query in corpus.queries:
            yield from _found(query.texts, language)
        for pair in corpus.parallel:
            yield from _found(pair, language)
        for video in corpus.videos:
            yield from (line.text for line in video.subtitles.get(language, ()))


def _found(texts: Any, language: str) -> list[str]:
    return [texts[language]] if language in texts else []


def check_options(config: Any, counts: Sequence[str]) -> None:
    """What the command lines of the experiments share, refused by name.

    `counts` are the options that must be 1 or more.
    """
    shared = {name: n for name, n in LEAST.items() if hasattr(config, name)}
    least = dict.fromkeys(counts, 1) | {"seed": 0} | shared
    for name, smallest in least.items():
        found = getattr(config, name)
        if found is not None and found < smallest:
            raise UserError(f"--{name}: found {found}, expected {smallest} or more")
    if config.width < 1 or config.width % NUM_HEADS:
        raise UserError(
            f"--width: found {config.width}, expected a multiple of {NUM_HEADS}"
        )
    if min(config.mesh.data, config.mesh.model) < 1:
        raise UserError(
            f"--mesh: found {config.mesh.data} x {config.mesh.model}, expected 1 or "
            "more of each"
        )


@contextlib.contextmanager
def holding(run_dir: Path, *, fresh: bool) -> Iterator[None]:
    """Keeps the directory of an experiment for one start of it, and all its processes.

    Raises BusyError where another start is at work, UserError where the directory
    cannot be written, or is not empty and should be.
    """
    if not is_first():
        yield
        return
    checkpoint.check_writable(run_dir)
    with checkpoint.RunLock(run_dir):
        check_fresh(run_dir, fresh)
        if (path := run_dir / "results.json").is_file():
            report.read_results(path)  # refused now, not when all is trained
        yield


def with_earlier(
    path: Path, results: Mapping[str, Any], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Results beside those that `path` holds, if these came about in the same way.

    `facts` (seed, steps, ...) must be equal: a table compares like with like.
    """
    if not path.is_file():
        return dict(results)
    earlier, meta = report.read_results(path)
    is_alike = all(meta.get(name) == value for name, value in facts.items())
    return dict(earlier) | dict(results) if is_alike else dict(results)


def settle_in(run_dir: Path) -> None:
    """Makes short runs on a CPU quick; call it before anything else touches JAX."""
    compile_quickly(run_dir)
    keep_memory()


def keep_memory() -> None:
    """Lets glibc hand out again what was freed instead of returning it to the system.

    Every step of a CPU program asks for its buffers anew, and the page faults of fresh
    ones are a third of a small model's step.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    allocator = ctypes.CDLL(None)
    for option, value in MALLOC_OPTIONS.items():
        allocator.mallopt(option, value)


def compile_quickly(run_dir: Path) -> None:
    """Compilation for short runs.

    Programs compiled once are found again by the next objective or start. On a CPU,
    LLVM's first level takes a third less time than its last, and the older of XLA's two
    fusion compilers half of the newer one's, for equally fast steps.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "optimization_level" not in flags:
        flags += " --xla_backend_optimization_level=1"
    # XLA ends a process that names a flag it does not know any more.
    if JAX < (0, 11) and "fusion_emitters" not in flags:
        flags += " --xla_cpu_use_fusion_emitters=false"
    os.environ["XLA_FLAGS"] = flags.strip()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        path = (run_dir / "compiled").absolute()
        jax.config.update("jax_compilation_cache_dir", str(path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def describe(module: str, seconds: float, **facts: Any) -> dict[str, Any]:
    """The meta data of results.json: how the numbers came about."""
    versions = {name: metadata.version(name) for name in PACKAGES}
    return facts | {
        "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version()} | versions,
        "devices": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "processor": processor(),
    }


def processor() -> str:
    """Kind and cores of the processor, on which the order of sums hangs."""
    path = Path("/proc/cpuinfo")
    text = path.read_text("utf-8") if path.exists() else ""
    known = dict(re.findall(r"^(model name|cpu family|model)\s*: (.+)$", text, re.M))
    kind = known.get("model name") or platform.processor() or platform.machine()
    exact = [
        f"{part} {known[part]}" for part in ("cpu family", "model") if part in known
    ]
    own = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return ", ".join([kind, *exact, f"{len(own)} cores"])


def is_first() -> bool:
    """Whether this process writes what all share."""
    return jax.process_index() == 0


def wait_for_first() -> None:
    """Every process waits until the first has made the files that all read."""
    processes.wait_for_all()


def say(text: str) -> None:
    """Progress for the reader of the terminal."""
    if is_first():
        print(text, file=sys.stderr, flush=True)
