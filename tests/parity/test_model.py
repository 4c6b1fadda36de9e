"""Every recorded case of the official model, and that the check can fail."""

import dataclasses
import re
import shutil
import zlib

import jax
import numpy as np
import pytest
from parity_harness import is_covered, mismatches
from run_cases import run


def test_the_set_holds_cases_and_each_is_known(golden):
    names = golden.names()
    assert any(map(is_covered, names)), f"no cases in {golden.root / 'model'}"
    unknown = [n for n in names if not is_covered(n)]
    assert not unknown, f"no handler for {unknown}"
    arrays = {path.stem for path in (golden.root / "model").glob("*.npz")}
    assert arrays == set(names), f"without its partner: {arrays ^ set(names)}"


def test_outputs_and_gradients_are_the_official_ones(golden, case_name):
    found = mismatches(golden.case(case_name), run(golden, case_name))
    assert not found, "\n".join(found)


def test_one_wrong_value_in_a_case_is_noticed(golden, case_name):
    """One recorded output, one in 64 bits, one gradient and one norm, by chance."""
    case, result = golden.case(case_name), run(golden, case_name)
    rng = np.random.default_rng(zlib.crc32(case_name.encode()))
    for prefix in (("out/",), ("out64/",), ("grad/", "avg_grad/")):
        if names := [n for n in case.arrays if n.startswith(prefix)]:
            name = str(rng.choice(names))
            arrays = {**case.arrays, name: damaged(case.arrays[name], rng)}
            found = mismatches(dataclasses.replace(case, arrays=arrays), result)
            assert len(found) == 1, f"{name}: {found}"
    for key in (key for key in case.meta if re.fullmatch(r"(avg_)?grad_.*norm", key)):
        name = max(case.meta[key], key=case.meta[key].get)
        norms = case.meta[key] | {name: case.meta[key][name] * 1.01}
        meta = {**case.meta, key: norms}
        found = mismatches(dataclasses.replace(case, meta=meta), result)
        assert len(found) == 1, f"{key} {name}: {found}"


def damaged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One value off by a hundredth of the largest."""
    array = np.array(array)
    array[tuple(rng.integers(array.shape))] += 0.01 * max(np.abs(array).max(), 0.1)
    return array


def test_what_a_case_says_about_itself_is_so(golden, case_name):
    """Shapes and types of its arrays, and how far its 32 bits are from its 64."""
    case = golden.case(case_name)
    recorded = {name: [list(a.shape), a.dtype.name] for name, a in case.arrays.items()}
    assert recorded == case.meta.get("keys", recorded)
    for name, said in case.meta.get("f32_vs_f64", {}).items():
        narrow, wide = case.arrays[f"out/{name}"], case.arrays[f"out64/{name}"]
        worst = np.abs(narrow - wide.astype(np.float64)).max(initial=0)
        assert said["max_abs"] == pytest.approx(worst, abs=1e-12), name
    norms = case.meta.get("grad_norm64", {})
    if norms and "grad_total_norm64" in case.meta:
        total = np.sqrt(sum(norm**2 for norm in norms.values()))
        assert case.meta["grad_total_norm64"] == pytest.approx(total, rel=1e-6)
        zeros = [name for name, norm in norms.items() if norm < 1e-10 * total]
        assert set(case.meta.get("grad_numerically_zero", zeros)) == set(zeros)


def test_a_case_without_a_handler_fails(golden, tmp_path):
    shutil.copytree(golden.root / "model", tmp_path / "model")
    some = golden.names()[0]
    for suffix in (".json", ".npz"):
        source = tmp_path / f"model/{some}{suffix}"
        shutil.copy(source, tmp_path / f"model/fenc_new{suffix}")
        source.rename(tmp_path / f"model/new{suffix}")
    copy = dataclasses.replace(golden, root=tmp_path)
    with pytest.raises(LookupError, match="fenc_new"):
        run(copy, "fenc_new")
    with pytest.raises(AssertionError, match="new"):
        test_the_set_holds_cases_and_each_is_known(copy)


@pytest.mark.slow
def test_in_64_bits_the_outputs_are_the_official_ones(golden, case_name):
    """Only this tells the two epsilons apart inside a whole model."""
    with jax.enable_x64(True):
        result = run(golden, case_name, "float64")
    found = mismatches(golden.case(case_name), result, "float64")
    assert not found, "\n".join(found)
