"""Recorded official cases: finding them, reading them, and comparing with ours.

A case is `model/<name>.json` and `.npz`; all sizes come from the files of its set.
"""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from hero_jax import pretrained
from hero_jax.model.hero import HeroConfig

Arrays = Mapping[str, np.ndarray]

COVERED = re.compile(
    r"(fenc|hier|module|vsm|vcmr|vr|videoqa|tvc)_.*|mlm|mffr|mfm_nce|fom|violin"
)


def is_covered(name: str) -> bool:
    return COVERED.fullmatch(name) is not None


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
        return load_file(self.root / "weights" / f"{stem}.safetensors")

    @functools.lru_cache(maxsize=32)  # noqa: B019
    def config(self, stem: str) -> HeroConfig:
        """The official config file that belongs to some weights."""
        kind = stem if stem in ("pretrain", "tvc") else "finetune"
        (path,) = (self.root / "config").glob(f"hero_{kind}*.json")
        model = json.loads(path.read_text("utf-8"))
        config = pretrained.config_from_official(model, self.weights(stem))
        return dataclasses.replace(config, dropout_kind="hash", official=True)

    @property
    def settings(self) -> Mapping[str, Any]:
        return json.loads((self.root / "meta.json").read_text("utf-8"))["settings"]


@dataclasses.dataclass(frozen=True)
class Result:
    """What our code makes of a case, under official names."""

    outputs: Arrays
    gradients: Arrays | None = None


def mismatches(case: Case, result: Result, dtype: str = "float32") -> list[str]:
    """Every way in which a result differs from the recording; empty if none."""
    found = []
    for name, expected in case.expected(dtype).items():
        if name not in result.outputs:
            found.append(f"{name}: not computed")
        else:
            tolerance = output_tolerance(case, name, dtype)
            actual = np.asarray(result.outputs[name])
            found += compare(name, actual, expected, tolerance)
    if case.gradients or "grad_none" in case.meta:
        found += gradient_mismatches(case, result.gradients)
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
    """Shapes equal up to axes of size 1; values within a share of the largest.

    -1e4 stands for "masked" (quirk A2): such entries must agree to 1e-3.
    """
    if actual.size != expected.size:
        return [f"{name}: shape {actual.shape}, recorded {expected.shape}"]
    actual, expected = actual.reshape(-1), expected.reshape(-1)
    if not np.isfinite(actual).all():
        return [f"{name}: not finite"]
    masked = np.abs(expected) >= 9e3
    difference = np.abs(actual.astype(np.float64) - expected)
    scale = np.abs(expected[~masked]).max(initial=0) or 1.0
    worst = difference[~masked].max(initial=0)
    found = []
    if worst > tolerance * scale:
        found.append(f"{name}: off by {worst:.2e}, largest value {scale:.2e}")
    if difference[masked].max(initial=0) > 1e-3:
        found.append(f"{name}: masked entries differ")
    return found


def gradient_mismatches(case: Case, actual: Arrays | None) -> list[str]:
    """Every gradient array within 1e-4 of its largest entry.

    Where the norm is below 1e-5 of the total (key biases: mathematically zero) the
    difference counts absolutely; where the official code has no gradient ours is zero.
    """
    if actual is None:
        return ["gradients: not computed"]
    total = np.sqrt(
        sum(np.sum(g.astype(np.float64) ** 2) for g in case.gradients.values())
    )
    found = []
    for name, expected in case.gradients.items():
        if name not in actual:
            found.append(f"grad {name}: not computed")
            continue
        is_tiny = np.linalg.norm(expected) < 1e-5 * total
        limit = 1e-6 * total if is_tiny else 1e-4 * np.abs(expected).max()
        if actual[name].shape != expected.shape:
            found.append(f"grad {name}: shape {actual[name].shape}")
        elif not (worst := np.abs(actual[name] - expected).max()) <= limit:
            found.append(f"grad {name}: off by {worst:.2e}, allowed {limit:.2e}")
    for name in case.meta.get("grad_none", []):
        if name in actual and np.any(actual[name]):
            found.append(f"grad {name}: officially there is none")
    return found
