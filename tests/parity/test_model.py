"""Every recorded case of the official model, and that the check can fail."""

import dataclasses
import shutil
import zlib

import jax
import numpy as np
import pytest
from parity_harness import Golden, is_covered, mismatches
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


def test_one_wrong_value_in_a_case_is_noticed(golden, case_name, tmp_path):
    """One recorded output, and one gradient if there are any, chosen by chance."""
    (tmp_path / "model").mkdir()
    shutil.copy(golden.root / f"model/{case_name}.json", tmp_path / "model")
    case, result = golden.case(case_name), run(golden, case_name)
    rng = np.random.default_rng(zlib.crc32(case_name.encode()))
    outputs = [f"out/{name}" for name in case.expected("float32")]
    gradients = [n for n in case.arrays if n.startswith(("grad/", "avg_grad/"))]
    for names in filter(None, (outputs, gradients)):
        name = str(rng.choice(names))
        arrays = {**case.arrays, name: damaged(case.arrays[name], rng)}
        np.savez(tmp_path / f"model/{case_name}.npz", **arrays)
        found = mismatches(Golden(tmp_path).case(case_name), result)
        assert len(found) == 1, f"{name}: {found}"


def damaged(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One value off by a hundredth of the largest."""
    array = np.array(array)
    array[tuple(rng.integers(array.shape))] += 0.01 * max(np.abs(array).max(), 0.1)
    return array


def test_a_case_without_a_handler_fails(golden, tmp_path):
    shutil.copytree(golden.root / "model", tmp_path / "model")
    for suffix in (".json", ".npz"):
        shutil.copy(
            tmp_path / f"model/fenc_txt{suffix}", tmp_path / f"model/fenc_new{suffix}"
        )
        (tmp_path / f"model/fenc_txt{suffix}").rename(tmp_path / f"model/new{suffix}")
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
