"""Recorded official cases: finding them, reading them, and comparing with ours.

A case is `model/<name>.json` and `.npz`; all sizes come from the files of its set.
"""

import dataclasses
import functools
import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from hero_jax import official_config, pretrained
from hero_jax.model.hero import HeroConfig

Arrays = Mapping[str, np.ndarray]

COVERED = re.compile(
    r"(fenc|hier|module|vsm|vcmr|vr|videoqa|tvc)_.*|mlm|mffr|mfm_nce|fom|violin"
)


def is_covered(name: str) -> bool:
    return COVERED.fullmatch(name) is not None


OURS = Path(__file__).resolve().parents[1] / "golden"
INVENTORY = "state_dict_keys_base.json"
SEED = 20201005
"""Of the number stream."""


def stream_numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The stream's array for an official parameter (README, section 8)."""
    generator = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    n = generator.standard_normal(shape, dtype=np.float32)
    if name.endswith("bias"):
        return 0.05 * n
    if len(shape) == 1:
        return 1 + 0.1 * n
    if len(shape) == 3:
        return 0.2 * n
    is_query_position = name.endswith("query_pos_embed.position_embeddings.weight")
    return n if is_query_position else 0.03 * n


@dataclasses.dataclass(frozen=True)
class Case:
    """One recorded run of the official code."""

    name: str
    meta: Mapping[str, Any]
    arrays: Arrays

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        return self.under("in/")

    def expected(self, dtype: str) -> dict[str, np.ndarray]:
        """Outputs; in float64 those that were recorded in it."""
        return self.under("out64/" if dtype == "float64" else "out/")

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        return self.under("grad/") | self.under("avg_grad/")


@dataclasses.dataclass(frozen=True)
class Golden:
    """A folder of recorded cases."""

    root: Path

    def names(self) -> list[str]:
        return sorted(path.stem for path in (self.root / "model").glob("*.json"))

    def case(self, name: str) -> Case:
        path = self.root / "model" / name
        meta = json.loads(path.with_suffix(".json").read_text("utf-8"))
        with np.load(path.with_suffix(".npz")) as arrays:
            return Case(name, meta, dict(arrays))

    def batch(self, case: Case) -> Case:
        """The case that holds a case's inputs: mostly itself ("same batch as x")."""
        source = re.fullmatch(r"same batch as (\w+)", case.meta.get("inputs") or "")
        return self.case(source[1]) if source else case

    @functools.lru_cache(maxsize=32)  # noqa: B019
    def weights(self, stem: str) -> Arrays:
        """Those recorded; of a paper-size set without any, those of the stream."""
        path = self.root / "weights" / f"{stem}.safetensors"
        return load_file(path) if path.exists() else self.stream(stem)

    def stream(self, stem: str) -> Arrays:
        """Paper-size weights of the documented number stream (README, section 8)."""
        own = self.root / INVENTORY
        inventory = json.loads((own if own.exists() else OURS / INVENTORY).read_text())
        (key,) = (k for k in inventory if re.fullmatch(rf"{stem}(\(.*\))?", k))
        return {
            name: stream_numbers(name, tuple(entry["shape"]))
            for name, entry in inventory[key].items()
            if not pretrained.NOT_PARAMETERS.fullmatch(name) and name != pretrained.TIED
        }

    @functools.lru_cache(maxsize=32)  # noqa: B019
    def config(self, stem: str) -> HeroConfig:
        """The official config file that belongs to some weights.

        Without one the tensors tell the sizes of the paper.
        """
        kind = stem if stem in ("pretrain", "tvc") else "finetune"
        state, paths = self.weights(stem), (self.root / "config").glob("hero_*.json")
        if files := [path for path in paths if path.name.startswith(f"hero_{kind}")]:
            (path,) = files
            model = json.loads(path.read_text("utf-8"))
        else:
            model = official_config.sizes_of(state)
            if kind != "pretrain":  # Those were built with the padded vocabulary.
                model["f_config"]["vocab_size"] = len(state[pretrained.WORDS])
        config = official_config.model_config(model, state)
        return dataclasses.replace(config, dropout_kind="hash", official=True)

    @property
    def origin(self) -> tuple[str, ...]:
        """Where weights and sizes are from; links are followed."""
        names = ("weights", "config", "meta.json", INVENTORY)
        return tuple(str((self.root / name).resolve()) for name in names)

    @property
    def settings(self) -> Mapping[str, Any]:
        return json.loads((self.root / "meta.json").read_text("utf-8"))["settings"]


@dataclasses.dataclass(frozen=True)
class Result:
    """What our code makes of a case, under official names."""

    outputs: Arrays
    gradients: Arrays | None = None
    of_ranks: tuple[Arrays, ...] = ()
    """Where several ranks were recorded: the gradient of each, before the mean."""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What a case also says in words or lists, under the names it has there."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """How far one array of ours is from the recorded one."""

    name: str
    worst: float
    """The largest difference, as a share of the largest value; absolute where said."""
    allowed: float
    problem: str = ""
    """Why there is nothing to measure."""

    @property
    def is_off(self) -> bool:
        return bool(self.problem) or not self.worst <= self.allowed

    def __str__(self) -> str:
        off = f"off by {self.worst:.2e}, allowed {self.allowed:.2e}"
        return f"{self.name}: {self.problem or off}"


def mismatches(case: Case, result: Result, dtype: str = "float32") -> list[str]:
    """Every way in which a result differs from the recording; empty if none."""
    return [str(one) for one in measured(case, result, dtype) if one.is_off]


def measured(case: Case, result: Result, dtype: str = "float32") -> list[Measured]:
    """Every recorded output, gradient and norm of a gradient beside ours."""
    found = []
    for prefix in ("out64/",) if dtype == "float64" else ("out/", "out64/"):
        for name, expected in case.under(prefix).items():
            tolerance = output_tolerance(case, name, dtype)
            actual = result.outputs.get(name)
            found += measure(prefix + name, actual, expected, tolerance)
    for name in result.facts.keys() & case.meta.keys():
        is_same = result.facts[name] == case.meta[name]
        problem = "" if is_same else f"{case.meta[name]}, found {result.facts[name]}"
        found.append(Measured(name, 0.0, 0.0, problem))
    if case.gradients or "grad_none" in case.meta:
        found += measured_gradients(case, result.gradients)
        found += measured_norms(case, result, dtype)
    return found


def output_tolerance(case: Case, name: str, dtype: str) -> float:
    """Of the largest value (README, section 9).

    Where the official float32 itself strays further from float64 (a fully masked row
    adds 1e-4 to the score's last digits), we may stray as far. So where it rounds to
    float32 even among float64 (the logits of mfm_nce).
    """
    if dtype == "float64":
        is_rounded = case.arrays[f"out64/{name}"].dtype == np.float32
        return 1e-6 if is_rounded else 1e-11
    recorded = case.meta.get("f32_vs_f64", {}).get(name, {}).get("rel_to_scale", 0)
    return max(1e-5, 3 * recorded)


def compare(
    name: str, actual: np.ndarray, expected: np.ndarray, tolerance: float
) -> list[str]:
    """What `measure` finds to be off."""
    return [str(m) for m in measure(name, actual, expected, tolerance) if m.is_off]


def measure(
    name: str, actual: Any, expected: np.ndarray, tolerance: float
) -> list[Measured]:
    """Shapes equal up to axes of size 1; values within a share of the largest.

    -1e4 stands for "masked" (quirk A2): such entries must agree to 1e-3.
    """
    problem = "" if actual is not None else "not computed"
    actual = np.asarray(actual if actual is not None else [])
    if not problem and actual.size != expected.size:
        problem = f"shape {actual.shape}, recorded {expected.shape}"
    elif not problem and not np.isfinite(actual).all():
        problem = "not finite"
    if problem:
        return [Measured(name, np.inf, tolerance, problem)]
    actual, expected = actual.reshape(-1), expected.reshape(-1)
    masked = np.abs(expected) >= 9e3
    difference = np.abs(actual.astype(np.float64) - expected)
    scale = np.abs(expected[~masked]).max(initial=0) or 1.0
    found = [Measured(name, difference[~masked].max(initial=0) / scale, tolerance)]
    if masked.any():
        found.append(Measured(f"{name} (masked)", difference[masked].max(), 1e-3))
    return found


def total_norm(arrays: Arrays) -> float:
    return np.sqrt(sum(np.sum(a.astype(np.float64) ** 2) for a in arrays.values()))


def measured_gradients(case: Case, actual: Arrays | None) -> list[Measured]:
    """Every gradient array within 1e-4 of its largest entry.

    Where the norm is below 1e-5 of the total (key biases: mathematically zero) the
    difference counts as a share of the total; where the official code has no gradient
    ours is zero.
    """
    if actual is None:
        return [Measured("gradients", np.inf, 0, "not computed")]
    total = total_norm(case.gradients)
    found = []
    for name, expected in case.gradients.items():
        is_tiny = np.linalg.norm(expected) < 1e-5 * total
        scale, allowed = (total, 1e-6) if is_tiny else (np.abs(expected).max(), 1e-4)
        if name not in actual or actual[name].shape != expected.shape:
            shape = np.shape(actual.get(name, ()))
            found.append(Measured(f"grad {name}", np.inf, allowed, f"shape {shape}"))
            continue
        worst = np.abs(actual[name] - expected).max() / scale
        found.append(Measured(f"grad {name}", worst, allowed))
    for name in case.meta.get("grad_none", []):
        if name in actual and np.any(actual[name]):
            problem = "officially there is none"
            found.append(Measured(f"grad {name}", np.inf, 0, problem))
    return found


def measured_norms(case: Case, result: Result, dtype: str) -> list[Measured]:
    """The recorded norm of every gradient, of the mean and of each rank alone."""
    groups = {"grad": result.gradients, "avg_grad": result.gradients}
    groups |= {f"grad_rank{i}": of for i, of in enumerate(result.of_ranks)}
    found = []
    for group, gradients in groups.items():
        total = total_norm(gradients or {})
        for key, wide in ((f"{group}_norm", False), (f"{group}_norm64", True)):
            allowed = 1e-6 if wide and dtype == "float64" else 1e-4
            for name, expected in case.meta.get(key, {}).items():
                # An array that the official code has and ours does not: the poolers'.
                norm = np.linalg.norm((gradients or {}).get(name, np.zeros(1)))
                worst = abs(norm - expected) / max(expected, 1e-2 * total)
                found.append(Measured(f"{key} {name}", worst, allowed))
    return found
