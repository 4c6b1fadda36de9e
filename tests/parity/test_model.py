"""Every recorded case of the official model, and that the check can fail."""

import dataclasses
import shutil

import batch_checks
import jax
import meta_checks
import noticing
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


def test_what_a_case_says_about_itself_is_so(golden, case_name):
    """Shapes, norms and rounding; and its batch is as our collation makes it."""
    case = golden.case(case_name)
    assert list(meta_checks.wrong(golden, case)) == []
    assert list(batch_checks.wrong(case, golden.settings.get("frame_interval"))) == []


def test_one_wrong_value_is_noticed(golden, recorded_file):
    leaves = noticing.some(golden.root, recorded_file, 2, needs_model=False)
    assert noticing.unnoticed(golden.root, leaves) == []


def test_one_wrong_input_of_a_module_is_noticed(golden):
    names = [name for name in golden.names() if name.startswith("module_")]
    for name in names:
        file = f"model/{name}.npz"
        leaves = noticing.some(golden.root, file, 10, needs_model=True)
        inputs = [leaf for leaf in leaves if leaf.path[0].startswith("in/")]
        assert noticing.unnoticed(golden.root, inputs[:1]) == []


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
