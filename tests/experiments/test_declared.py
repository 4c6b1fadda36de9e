"""Cells that cannot be right, or that nobody declared, enter no table."""

import copy
import json

import pytest

from experiments.crosslingual import declared, records
from experiments.crosslingual.contrasts import Family
from hero_jax.errors import UserError
from tests.experiments.planted_cells import (
    GAIN,
    GRID,
    NUM_VIDEOS,
    PER_VIDEO,
    record,
)

DAMAGE = {
    "a name of another cell": ({"cell": {"seed": 3}}, "cell: found .*-s3-"),
    "no curve": ({"curve": []}, "curve: found no step"),
    "a rank of 0": ({"VR": [0] * NUM_VIDEOS * PER_VIDEO}, r"ranks\.en\.zh.* rank 0"),
    "half a rank": ({"VR": [1.5] * NUM_VIDEOS * PER_VIDEO}, "found rank 1.5"),
    "no ranks of a pair": ({"VR": None}, "found no list of ranks"),
    "too few ranks": ({"VR": [1]}, r"ranks\.en\.zh\.VR: found 1 ranks, expected 160"),
}


@pytest.fixture(scope="module")
def found():
    return [record(arm, s, gain=gain) for arm, gain in GAIN.items() for s in range(6)]


@pytest.mark.parametrize("what", DAMAGE)
def test_a_cell_that_cannot_be_right_is_named(tmp_path, found, what):
    change, said = DAMAGE[what]
    path = records.path_of(tmp_path, records.cell_of(found[0]).name)
    one = copy.deepcopy(found[0])
    one["cell"] |= change.get("cell", {})
    one["curve"] = change.get("curve", one["curve"])
    one["ranks"]["en"]["zh"]["VR"] = change.get("VR", [1] * NUM_VIDEOS * PER_VIDEO)
    records.write(path, one)
    with pytest.raises(UserError, match=said):
        list(records.read_all(tmp_path))


def test_a_cell_that_was_not_declared_is_refused(tmp_path, found):
    path = tmp_path / "grid.json"
    declared.declare(path, GRID)
    grid = declared.read(path)
    assert grid == GRID
    assert "confirmatory mtvr_loo" not in declared.missing(grid, found)
    for change in ({"seed": 6}, {"steps": 8}, {"split": "val"}, {"languages": ["en"]}):
        other = dict(found[0], cell=found[0]["cell"] | change)
        with pytest.raises(UserError, match="does not declare"):
            declared.missing(grid, [*found, other])
    path.write_text("{}")
    with pytest.raises(UserError, match="found no declared grid"):
        declared.read(path)
    path.write_text(json.dumps({"grid": {"seeds": "six"}}))
    with pytest.raises(UserError, match="found no declared grid"):
        declared.read(path)


def test_a_grid_of_other_arms_or_endpoints_is_refused(tmp_path):
    path = tmp_path / "grid.json"
    declared.declare(path, GRID)
    whole = json.loads(path.read_text("utf-8"))
    whole["arms"]["vsm"][0]["objective"]["margin"] = 9.0
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="arms: found others than this program's"):
        declared.read(path)
    with pytest.raises(UserError, match="arms: found others"):
        declared.declare(path, GRID)


def test_two_cells_of_one_seed_are_refused(found):
    again = record("vsm", 0, gain=0.8, trial=1)
    with pytest.raises(UserError, match="vsm: found two cells of seed 0"):
        Family.of([*found, again], "confirmatory", "mtvr_loo")


def test_a_cell_without_a_pair_of_languages_is_refused(found):
    one = copy.deepcopy(found[0])
    del one["ranks"]["en"]["zh"]
    with pytest.raises(UserError, match=r"queries and subtitles in \('en', 'zh'\)"):
        Family.of([one, *found[1:]], "confirmatory", "mtvr_loo")
