"""Cells that cannot be right, or that nobody declared, enter no table."""

import copy
import json
import re

import pytest

from experiments.crosslingual import controls, declared, records
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
    "no curve": ({"curve": []}, "curve: found none, expected at least the last step"),
    "no configuration": ({"config": None}, "config: found none, expected the config"),
    "no kinds": ({"kinds": ["t"]}, "kinds: found 1, expected 160, one a query"),
    "no diagnostics": ({"diagnostics": None}, "diagnostics: found none, expected what"),
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
    for name in ("curve", "config", "kinds", "diagnostics"):
        one[name] = change.get(name, one[name])
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


STRAYS = {
    "tasks.moments.objective.margin": 0.3,
    "tasks.moments.span.weight": 1.0,
    "tasks.moments.languages": ["en"],
    "tasks.moments.switch_rate": 0.5,
    "optimizer.learning_rate": 0.1,
    "model.cross_modal.width": 128,
    "model.score.kind": "mean",
    "steps": 8,
    "seed": 1,
}


@pytest.mark.parametrize("name", STRAYS)
def test_a_cell_that_was_trained_otherwise_is_refused(found, name):
    one = copy.deepcopy(found[0])
    *path, last = name.split(".")
    place = one["config"]
    for part in path:
        place = place[part]
    was, place[last] = place[last], STRAYS[name]
    said = re.escape(f"config.{name}: found {STRAYS[name]}, expected {was}")
    with pytest.raises(UserError, match=said):
        declared.missing(GRID, [one, *found[1:]])


def test_what_older_cells_did_not_write_down_is_known(found):
    one = copy.deepcopy(found[0])
    for name in ("frames", "switch_rate", "train_split"):
        del one["config"]["tasks"]["moments"][name]
    del one["config"]["model"]["score"]
    assert declared.missing(GRID, [one, *found[1:]]) == declared.missing(GRID, found)
    del one["config"]["tasks"]["moments"]["batch_size"]
    with pytest.raises(UserError, match="batch_size: found nothing, expected 64"):
        declared.missing(GRID, [one, *found[1:]])


def test_trials_that_were_not_chosen_are_refused_arm_by_arm(found):
    own = {"family": "tuning", "split": "val"}
    tuned = [record("vsm", 1000, gain=0.1 * t, trial=t, **own) for t in range(4)]
    with pytest.raises(UserError, match="vsm-t0.* trial: found 0, expected 3"):
        declared.missing(GRID, [*tuned, *found])
    chosen = [record("vsm", s, gain=0.8, trial=3) for s in range(6)]
    others = [one for one in found if one["cell"]["arm"] != "vsm"]
    left = declared.missing(GRID, [*tuned, *chosen, *others])
    assert left["tuning mtvr_loo"] == 12 and "confirmatory mtvr_loo" not in left
    declared.missing(GRID, [*tuned[:3], *found])  # nothing is chosen before the last


MIXED = {
    "number formats": lambda one: one["config"]["model"].update(dtype="bfloat16"),
    "kinds of frames": lambda one: one.update(visual="synthetic, signal-to-noise 2"),
}


@pytest.mark.parametrize("what", MIXED)
def test_cells_of_several_settings_are_no_family(found, what):
    marked = [dict(one, visual="synthetic, signal-to-noise 1") for one in found]
    marked[0] = copy.deepcopy(marked[0])
    MIXED[what](marked[0])
    with pytest.raises(UserError, match=f"found cells of 2 {what}, expected one"):
        Family.of(marked, "confirmatory", "mtvr_loo")


CONTROL = {
    "corpus": "mtvr_loo",
    "num_videos": NUM_VIDEOS,
    "overlaps": [0.0] * NUM_VIDEOS * PER_VIDEO,
    "spans": {},
    "ranks": {"words": {"en": {"zh": [NUM_VIDEOS] * NUM_VIDEOS * PER_VIDEO}}},
}


def test_controls_rank_the_gallery_and_the_queries_of_the_cells(found):
    small = copy.deepcopy(found[:2])
    for row in small[0]["ranks"].values():
        for of in row.values():
            of["VR"] = [min(rank, NUM_VIDEOS) for rank in of["VR"]]
    control = CONTROL | {"videos": small[0]["videos"]}
    controls.check(control, small[:1])
    for change, said in {
        "other queries": ({"videos": control["videos"][::-1]}, "found other queries"),
        "another number": ({"videos": [0]}, "different lengths"),
        "a smaller gallery": ({"num_videos": 9}, "without a rank of 1 to 9"),
        "no rank": ({"ranks": {"words": {"en": {"zh": [1]}}}}, "words en.zh without"),
    }.values():
        with pytest.raises(UserError, match=said):
            controls.check(control | change, small[:1])
    small[0]["ranks"]["en"]["en"]["VR"][0] = NUM_VIDEOS + 1
    with pytest.raises(UserError, match="found rank 81 among 80 videos"):
        controls.check(control, small[:1])


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
