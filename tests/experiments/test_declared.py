"""Cells that cannot be right, or that nobody declared, enter no table."""

import copy
import json
import re

import pytest

from experiments.crosslingual import (
    answer,
    controls,
    declared,
    language_tables,
    records,
)
from experiments.crosslingual.contrasts import Family
from hero_jax.errors import UserError
from tests.experiments.planted_cells import (
    GAIN,
    GRID,
    NUM_VIDEOS,
    PER_VIDEO,
    record,
)

COUNT = NUM_VIDEOS * PER_VIDEO
DAMAGE = [
    ("cell", "seed", 3, "cell: found .*-s3-"),
    ("cell", "steps", "7", "cell.steps: found '7', expected a whole number"),
    ("config", None, "config: found none, expected an object"),
    ("curve", [], "curve: found [], expected at least the last step"),
    ("curve", [1], "curve: found [1], expected at least the last step"),
    ("curve", [{"step": 7, "grad_norm": "x"}], "curve: found [{'step': 7"),
    ("kinds", ["t"], "kinds: found 1, expected 160, one a query"),
    ("kinds", None, "kinds: found none, expected a list"),
    ("videos", 5, "videos: found 5, expected a list"),
    ("visual", 5, "visual: found 5, expected a text"),
    ("diagnostics", None, "diagnostics: found none, expected an object"),
    (
        "diagnostics",
        "lists",
        "en-zh",
        "en",
        "top",
        "x",
        "diagnostics.lists.en-zh.en.top: found 'x', exp",
    ),
    ("ranks", "en", "zh", None, "ranks.en.zh: found none, expected an object"),
    ("ranks", "en", "zh", "VR", None, "ranks.en.zh.VR: found none, expected a list"),
    ("ranks", "en", "zh", "VR", [1], "ranks.en.zh.VR: found 1, expected 160"),
    ("ranks", "en", "zh", "VR", [0], "ranks.en.zh.VR[0]: found 0, expected a rank"),
    ("ranks", "en", "zh", "VR", [1.5], "ranks.en.zh.VR[0]: found 1.5, expected a"),
    ("ranks", "en", "zh", "VR", [True], "ranks.en.zh.VR[0]: found True, expected a"),
    ("ranks", "en", "zh", "VR", [10**400], "ranks.en.zh.VR[0]: found 1000"),
    ("ranks", "en", "zh", "SVMR", {"0.5": []}, "ranks.en.zh.SVMR.0.7: found none"),
    ("ranks", "en", "zh", "VCMR", None, "ranks: VCMR: found none in some pairs"),
    ("ranks", "en", "zh", "VCMR", [], "ranks.en.zh.VCMR: found [], expected an obj"),
]
"""Place, ..., what is put there, and what is said."""


def changed(record, place, value):
    """A copy with another value at a place."""
    record = copy.deepcopy(record)
    inner = record
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return record


@pytest.fixture(scope="module")
def found():
    return [record(arm, s, gain=gain) for arm, gain in GAIN.items() for s in range(6)]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage[-1][:50])
def test_a_cell_that_cannot_be_right_is_named(tmp_path, found, damage):
    *place, value, said = damage
    path = records.path_of(tmp_path, records.cell_of(found[0]).name)
    records.write(path, changed(found[0], place, value))
    said = said if ".*" in said else re.escape(said)
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: {said}"):
        list(records.read_all(tmp_path))


def test_a_cell_that_is_all_right_is_read(tmp_path, found):
    path = records.path_of(tmp_path, records.cell_of(found[0]).name)
    records.write(path, found[0])
    assert [records.cell_of(one).name for one in records.read_all(tmp_path)]


def test_diagnostics_without_a_measure_name_the_cell(found):
    one = changed(found[0], ("diagnostics", "vectors", "en-zh"), {"probe": {}})
    family = Family.of([one, *found[1:]], "confirmatory", "mtvr_loo")
    with pytest.raises(
        UserError, match=r"vsm-t0-s0-n7\.json\.gz: diagnostics: found n"
    ):
        language_tables.diagnostics(family, ["vsm"])


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
    declared.declare(tmp_path / "another.json", GRID)
    whole = json.loads((tmp_path / "another.json").read_text("utf-8"))
    for change in ({"seeds": "six"}, {"width": "64"}, {"width": 63}, {"longer": "5"}):
        path.write_text(json.dumps(whole | {"grid": whole["grid"] | change}))
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
    "tasks.moments.source.channels": "video",
    "model.initializer": "normal",
    "accumulation": 4,
    "start": "weights",
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
    "names of datasets": lambda one: one["config"]["tasks"]["moments"]["source"].update(
        dataset="mtvr_loo_fold1"
    ),
    "vocabularies": lambda one: one["config"]["model"].update(vocab_size=9),
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
    "videos": [0] * COUNT,
    "overlaps": [0.5] * COUNT,
    "spans": {"en": {"zh": {"SVMR": {t: [1] * COUNT for t in ("0.5", "0.7")}}}},
    "ranks": {"words": {"en": {"zh": [NUM_VIDEOS] * COUNT}}},
}
WRONG = [
    ("corpus", "microtv", "corpus: found microtv, expected that of the file's name"),
    ("corpus", None, "corpus: found none, expected a text"),
    ("num_videos", 9, "ranks.words.en.zh: found a rank beyond 9 videos"),
    ("videos", [0], "overlaps: found 160, expected 1"),
    ("videos", [99] * COUNT, "videos: found number 99 among 80"),
    ("overlaps", [7.5] * COUNT, "overlaps[0]: found 7.5, expected an IoU of 0 to 1"),
    ("ranks", {"copied": {}}, "ranks.words: found none"),
    ("ranks", "words", "en", "zh", ["3"], "ranks.words.en.zh[0]: found '3', expected"),
    ("spans", "en", "zh", "SVMR", {"0.5": []}, "spans.en.zh.SVMR.0.7: found none"),
    ("spans", "en", "zh", "SVMR", "0.7", [1], "spans.en.zh.SVMR.0.7: found 1, expec"),
    ("spans", "en", 5, "spans.en: found 5, expected an object"),
]


@pytest.mark.parametrize("damage", WRONG, ids=lambda damage: damage[-1][:50])
def test_controls_that_cannot_be_right_are_named(tmp_path, damage):
    *place, value, said = damage
    path = records.path_of(tmp_path, "mtvr_loo")
    records.write(path, CONTROL)
    assert controls.read_all(tmp_path) == [CONTROL]
    records.write(path, changed(CONTROL, place, value))
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: {re.escape(said)}"):
        controls.read_all(tmp_path)


def test_controls_rank_the_gallery_and_the_queries_of_the_cells(found):
    one = copy.deepcopy(found[0])
    for row in one["ranks"].values():
        for of in row.values():
            of["VR"] = [min(rank, NUM_VIDEOS) for rank in of["VR"]]
    control = CONTROL | {"videos": one["videos"]}
    controls.check(control, [one])
    with pytest.raises(UserError, match="mtvr_loo.json.gz: found other queries"):
        controls.check(control | {"videos": one["videos"][::-1]}, [one])
    one["ranks"]["en"]["en"]["VR"][0] = NUM_VIDEOS + 1
    with pytest.raises(UserError, match="found rank 81 among 80 videos"):
        controls.check(control, [one])


def test_a_corpus_without_controls_is_said(found):
    (head, *_) = answer.tables(found, [CONTROL | {"videos": found[0]["videos"]}])
    assert "without a model" not in head.blocks[0]
    (head, *_) = answer.tables(found)
    assert "No rankings without a model of mtvr_loo." in head.blocks[0]


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
