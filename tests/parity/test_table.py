"""docs/parity.md shows what the recorded cases give now."""

import re

import pytest
import table

PAGE = table.ROOT / "docs/parity.md"
SOME = {
    "model": "module_lm_head",
    "optim": "schedules",
    "eval": "caption_scorers",
    "data/expected": "span_labels",
}


@pytest.fixture
def documented(golden):
    """(folder, case) -> the cells behind them; of the set that the page is about."""
    if golden.root.resolve() != (table.HERE.parent / "golden").resolve():
        pytest.skip("the page is about tests/golden")
    lines = re.findall(r"^\| (\S+) \| `(\S+)` \| (.*)\|$", PAGE.read_text(), re.M)
    return {(folder, case): split(rest) for folder, case, rest in lines}


def split(rest):
    return [cell.strip() for cell in rest.split("|")]


def test_every_case_has_a_row_and_none_is_wrong(golden, documented):
    assert set(documented) == {
        *(("model", name) for name in golden.names()),
        *(("optim", name) for name in table.optim_cases.names(golden)),
        *(("eval", name) for name in table.eval_cases.names(golden.root)),
        *(("data/e2e", name) for name in table.e2e_cases.names(golden)),
        *(("data/expected", n) for n in table.data_cases.names(golden.root)),
    }
    assert "wrong" not in PAGE.read_text().split("## Not recorded")[0]


def test_what_no_recording_holds_is_named():
    page = PAGE.read_text()
    for word in ("fusion", "two-stream", "VLEP"):
        assert word in page.split("## Not recorded")[1]


@pytest.mark.parametrize("folder", SOME)
def test_a_row_made_again_says_the_same(golden, documented, folder):
    """Counts and tolerances; of differences the size, since processors round apart."""
    row = next(table.rows(golden, f"^{SOME[folder]}$"))
    found = split(str(row).removeprefix(f"| {folder} | `{row.case}` | ").strip("|"))
    wanted = documented[folder, SOME[folder]]
    assert found[0] == wanted[0]
    for mine, theirs in zip(found[1:], wanted[1:], strict=True):
        is_number = "/" in mine and "/" in theirs
        if not is_number:
            assert mine == theirs
            continue
        (off, allowed), (was, limit) = (cell.split(" / ") for cell in (mine, theirs))
        assert allowed == limit
        assert float(off) < 30 * max(float(was), 1e-2 * float(limit))


def test_a_difference_beyond_its_tolerance_is_called_wrong():
    close, far = (table.Measured("x", worst, 1e-5) for worst in (2e-6, 3e-5))
    assert table.shown([close]) == "2.0e-06 / 1e-05"
    assert table.shown([close, far]).startswith("**wrong: x: off by 3.00e-05")
    assert table.shown([table.Measured("x", 0.0, 0.0)]) == "equal"
    assert table.shown([]) == ""
