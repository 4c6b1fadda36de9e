"""Tables from cells in which the true answer was planted."""

import re
from pathlib import Path

import numpy as np
import pytest

from experiments.crosslingual import (
    answer,
    comparisons,
    contrasts,
    declared,
    intervals,
    language_tables,
    pages,
    records,
)
from experiments.crosslingual.answer import Answer
from experiments.crosslingual.contrasts import Family, across, within
from experiments.crosslingual.intervals import Estimate
from experiments.crosslingual.pages import Table
from hero_jax.errors import UserError
from tests.experiments.planted_cells import GAIN, GRID, NUM_VIDEOS, PAIR, SEEDS, record

STUDY = Path(__file__).parents[2] / "docs/study"


@pytest.fixture(scope="module")
def found():
    return [record(arm, s, gain=gain) for arm, gain in GAIN.items() for s in range(6)]


@pytest.fixture(scope="module")
def family(found):
    return Family.of(found, "confirmatory", "mtvr_loo")


def test_a_planted_interaction_is_found_with_its_sign_and_size(family):
    terms = contrasts.interaction("vsm", "info_nce")
    result = contrasts.compared(family, terms, contrasts.reciprocal_rank)
    mean = lambda arm, side: np.mean(
        [
            contrasts.side_values(r, side, contrasts.reciprocal_rank)
            for r in family.arms[arm].values()
        ]
    )
    by_hand = (mean("vsm", across) - mean("info_nce", across)) - (
        mean("vsm", within) - mean("info_nce", within)
    )
    assert result["estimate"] == pytest.approx(by_hand)
    assert result["low"] > 0 and result["p"] < 0.01
    assert contrasts.equivalent(family, terms, contrasts.reciprocal_rank, 0.01) > 0.5


def test_a_planted_null_is_not_found(family):
    terms = contrasts.interaction("vsm", "vsm_global")
    result = contrasts.compared(family, terms, contrasts.reciprocal_rank)
    assert result["estimate"] == 0 and result["p"] > 0.05
    assert contrasts.equivalent(family, terms, contrasts.reciprocal_rank, 0.01) < 0.05


def test_a_ratio_is_that_of_the_sides_of_the_arms(found):
    some = [r for r in found if r["cell"]["arm"] != "vsm" or r["cell"]["seed"] < 4]
    family = Family.of(some, "confirmatory", "mtvr_loo")
    measure = contrasts.reciprocal_rank
    mean = lambda arm, side: np.mean(
        [
            contrasts.side_values(family.arms[arm][seed], side, measure)
            for seed in range(4)
        ]
    )
    log = lambda arm: np.log(mean(arm, across) / mean(arm, within))
    result = contrasts.log_gap(family, "vsm", "info_nce")
    assert result["estimate"] == pytest.approx(log("vsm") - log("info_nce"))
    assert result["seeds"] == 4 and result["low"] > 0
    assert contrasts.log_gap(family, "vsm")["estimate"] == pytest.approx(log("vsm"))
    assert contrasts.log_gap(family, "info_nce")["seeds"] == 6


def test_none_is_no_language(family):
    of_one = family.arms["vsm"][0]
    ranks = {a: {**row, "none": None} for a, row in of_one["ranks"].items()}
    without = dict(of_one, ranks=ranks)
    for side in (across, within):
        np.testing.assert_array_equal(
            contrasts.side_values(without, side, contrasts.reciprocal_rank),
            contrasts.side_values(of_one, side, contrasts.reciprocal_rank),
        )


def test_only_seeds_that_both_arms_have_are_compared(found):
    some = [r for r in found if r["cell"]["arm"] != "vsm" or r["cell"]["seed"] < 4]
    family = Family.of(some, "confirmatory", "mtvr_loo")
    terms = contrasts.interaction("vsm", "info_nce")
    result = contrasts.compared(family, terms, contrasts.reciprocal_rank)
    assert result["seeds"] == 4


def test_an_arm_that_points_at_nothing_has_no_moments(family):
    terms = contrasts.difference("vsm", "info_nce", across)
    assert contrasts.compared(family, terms, contrasts.first_moment) is None
    local = contrasts.difference("vsm", "info_nce_local", across)
    assert contrasts.compared(family, local, contrasts.first_moment)["estimate"] > 0


def test_cells_of_other_queries_are_refused(found):
    other = dict(found[0], videos=found[0]["videos"][::-1])
    family = Family.of([other, *found[1:]], "confirmatory", "mtvr_loo")
    with pytest.raises(UserError, match="different queries"):
        contrasts.values(
            family, contrasts.interaction("vsm", "info_nce"), contrasts.first_video
        )


def test_an_arm_of_two_trials_or_two_datasets_is_refused(found):
    other = record("vsm", 0, gain=0.8, trial=1)
    with pytest.raises(UserError, match="vsm: found cells of trial 0 and 1"):
        Family.of([*found[1:], other], "confirmatory", "mtvr_loo")
    marked = [dict(found[k], data={"digest": k}) for k in range(2)]
    with pytest.raises(UserError, match="found cells of 2 datasets"):
        Family.of([*marked, *found[2:]], "confirmatory", "mtvr_loo")
    family = Family.of([marked[0], *found[1:]], "confirmatory", "mtvr_loo")
    assert len(family.arms["vsm"]) == 6  # older cells do not say


def test_the_frames_are_called_what_the_cells_say(found):
    seen = [dict(one, visual="given, 8 wide") for one in found]
    (section,) = answer.of_families(seen, ())
    assert section.blocks[0].startswith("Visual features: given, 8 wide. 7 steps.")
    (section,) = answer.of_families(found, ())
    assert section.blocks[0].startswith("Visual features: none (zeros). 7 steps.")


def test_every_pair_of_languages_is_shown(found):
    family = Family.of(found, "confirmatory", "mtvr_loo")
    (table,) = language_tables.matrix(family, ["vsm"])
    assert table.header[1:] == (
        "en-en",
        "en-zh",
        "en-none",
        "zh-en",
        "zh-zh",
        "zh-none",
    )
    by_seed = [
        np.mean(1 / np.array(r["ranks"]["zh"]["en"]["VR"]))
        for r in family.arms["vsm"].values()
    ]
    expected = f"{np.mean(by_seed):.3f} ({np.std(by_seed, ddof=1):.3f})"
    assert table.rows[0][4] == expected
    (table,) = language_tables.recalls(family, ["vsm"])
    pairs = [("en", "zh"), ("zh", "en")]
    ranks = np.array(
        [
            [r["ranks"][a][b]["VR"] for a, b in pairs]
            for r in family.arms["vsm"].values()
        ]
    )
    row = dict(zip(table.header, table.rows[0]))
    assert row["R@5 % across"] == f"{100 * np.mean(ranks <= 5):.1f}"
    assert row["MedR across"] == f"{np.median(ranks, axis=2).mean():.1f}"


def test_a_language_that_was_not_trained_is_within_nothing(found):
    (one, *_) = found
    only = dict(one, cell=one["cell"] | {"languages": ["en"]})
    values = contrasts.side_values(only, within, contrasts.reciprocal_rank)
    np.testing.assert_allclose(values, 1 / np.array(one["ranks"]["en"]["en"]["VR"]))
    np.testing.assert_array_equal(
        contrasts.side_values(only, across, contrasts.reciprocal_rank),
        contrasts.side_values(one, across, contrasts.reciprocal_rank),
    )
    fewer = {**one["ranks"]["zh"]["en"], "VR": [1]}
    ranks = one["ranks"] | {"zh": one["ranks"]["zh"] | {"en": fewer}}
    with pytest.raises(UserError, match="different numbers of queries"):
        contrasts.side_values(dict(one, ranks=ranks), across, contrasts.reciprocal_rank)


def test_types_of_queries_stand_apart_where_there_are_several(found):
    kinds = ["v", "t"] * NUM_VIDEOS
    family = Family.of(
        [dict(r, kinds=kinds) for r in found], "confirmatory", "mtvr_loo"
    )
    note, table = language_tables.by_kind(family, ["vsm"])
    assert "subtitles (t)" in note
    assert table.header[1:] == ("t, within", "t, across", "v, within", "v, across")
    values = np.stack(
        [
            contrasts.side_values(r, across, contrasts.reciprocal_rank)
            for r in family.arms["vsm"].values()
        ]
    )
    assert table.rows[0][2].startswith(f"{values[:, 1::2].mean():.3f} (")
    assert language_tables.by_kind(Family.of(found, "f", "mtvr_loo"), []) == []
    same = [dict(r, kinds=["v"] * 2 * NUM_VIDEOS) for r in found]
    of_one = Family.of(same, "confirmatory", "mtvr_loo")
    assert language_tables.by_kind(of_one, ["vsm"]) == []


VALIDATED = {
    "val/moments/en/zh/VR/MRR": 0.25,
    "val/moments/zh/en/VR/MRR": 0.5,
    "val/moments/zh/zh/VR/MRR": 0.75,
    "val/moments/zh/none/VR/MRR": 0.1,
    "val/moments/zh/en/chance/VR/MRR": 0.1,
}


def write(folder, found):
    for one in found:
        path = records.path_of(folder / "cells", records.cell_of(one).name)
        records.write(path, one)


def test_every_table_is_rebuilt_from_the_cells(found, tmp_path, monkeypatch):
    own = {"split": "val"}
    trials = [
        record("vsm", 1000, gain=0.1 * t, family="tuning", trial=t, **own)
        for t in range(4)
    ]
    curve = [
        {"step": s, "moments/loss": 1 / s, "grad_norm": 1.0, **VALIDATED}
        for s in (1, 2, 3)
    ]
    last = record("vsm", 1000, gain=0, family="curve", **own | {"steps": 14})
    declared.declare(tmp_path / "grid.json", GRID)
    write(tmp_path, [*found, *trials[:3], dict(last, curve=curve)])
    words = "# An answer\n\nIt *helps*, says <b>nobody</b>.\n"
    (tmp_path / "report.md").write_text(words, "utf-8")
    monkeypatch.setattr("sys.argv", ["answer", "--out", str(tmp_path)])
    answer.main()
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("<tr>") > 30 and "<script" not in page
    assert "<polyline" in page and "moments/loss by step" in page
    assert page.count("<h1>") == 1 and "<em>helps</em>" in page and "<b>" not in page
    assert "VSM less" in page and page.count("<circle") >= 12
    text = (tmp_path / "tables.md").read_text("utf-8")
    left = "curve mtvr_loo 3, english_only mtvr_loo 24, longer mtvr_loo 6, tuning"
    assert f"28 finished cells, missing: {left} mtvr_loo 13." in text
    assert "| vsm | 0.375 | 0.375 | 0.375 |" in text and "chance/VR" not in page
    assert "| only the hardest" not in text  # no cell of triplet_max
    assert text.count("| hinge instead of softmax, with local alignment |") == 4
    assert text.count("| vsm | ") == 1 + 4 + 3 + 2  # alone, explained, trials, curves
    explained = ("0.300", "0.300", "0.300", "0.000", "0.600", "0.900", "0.500", "0.750")
    line = " | ".join(f"{value} (0.000)" for value in (*explained, "0.125"))
    assert f"| vsm | {line} |" in text
    rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert all(count >= 4 for count in rows)


def rows_of(section):
    """(what, languages) -> the row of a table of effects, by column."""
    tables = [block for block in section.blocks if isinstance(block, Table)]
    effects = next(table for table in tables if table.header[1] == "languages")
    return {row[:2]: dict(zip(effects.header, row)) for row in effects.rows}


def test_exploratory_families_stand_beside_the_arms_they_come_from():
    alone = [record(a, s, gain=0.0, family="english_only") for a in PAIR for s in SEEDS]
    aided = [record("vsm+tli", s, gain=0.8, family="aided") for s in SEEDS]
    same = [record("info_nce+nc", s, gain=0.0, family="aided") for s in SEEDS]
    whole = [record(a, s, gain=0.0) for a in ("vsm_global", *PAIR) for s in SEEDS]
    hard = [record("vsm_global_hard", s, gain=0.8, family="ingredients") for s in SEEDS]
    found = [*alone, *aided, *same, *whole, *hard]
    sections = {s.title: s for s in answer.of_explorations(found)}
    assert set(sections) == {"ingredients: mtvr_loo", "aided: mtvr_loo"}
    helped = rows_of(sections["aided: mtvr_loo"])
    assert set(helped) == {
        (what, kind)
        for what in ("tli beside vsm", "nc beside info_nce")
        for kind in ("across", "within", "across - within")
    }
    assert float(helped["tli beside vsm", "across"]["estimate"].split()[0]) > 0.05
    assert helped["tli beside vsm", "across"]["BH of 6"] == "< .001"
    assert helped["nc beside info_nce", "across"]["estimate"].startswith("+0.000 [")
    harder = rows_of(sections["ingredients: mtvr_loo"])
    what = "hard negatives count more, beside the hinge"
    assert float(harder[what, "across"]["estimate"].split()[0]) > 0.05


@pytest.mark.parametrize(
    ("name", "correction"), [("confirmatory", "Holm"), ("translated", "BH")]
)
def test_what_was_planned_is_corrected_otherwise_than_what_was_not(name, correction):
    found = [record(a, s, gain=0.1, family=name) for a in PAIR for s in SEEDS]
    (section,) = answer.of_families(found, ())
    (row, *_) = rows_of(section).values()
    assert f"{correction} of 3" in row


def test_a_variant_stands_beside_the_seeds_that_it_has():
    alone = [record(a, s, gain=0.0, family="english_only") for a in PAIR for s in SEEDS]
    aided = [
        record(f"{a}+tli", s, gain=0.8, family="aided") for a in PAIR for s in (1, 2)
    ]
    (section,) = answer.of_explorations([*alone, *aided])
    arms, *others = (b for b in section.blocks if isinstance(b, Table))
    assert {row[0]: row[1] for row in arms.rows} == dict.fromkeys(
        (*PAIR, "vsm+tli", "info_nce+tli"), "2"
    )
    titles = [block.header[0] for block in others]
    assert "VSM less InfoNCE, beside both" in titles


def test_more_steps_are_compared_on_the_same_seeds(found):
    longer = [
        record(a, s, gain=0.0, family="longer", steps=35) for a in PAIR for s in (0, 2)
    ]
    sections = answer.of_families([*found, *longer], ())
    (section,) = (one for one in sections if one.title.startswith("longer"))
    tables = [block for block in section.blocks if isinstance(block, Table)]
    (table,) = (one for one in tables if one.header[0] == "more steps less fewer")
    rows = {row[:2]: dict(zip(table.header, row)) for row in table.rows}
    assert {row["seeds"] for row in rows.values()} == {"2"}
    endpoint = "(vsm - info_nce) across - within"
    was, now, change = (
        float(rows[endpoint, when]["estimate"].split()[0])
        for when in ("before", "after", "change")
    )
    assert was > 0.05 and now == 0 and change == -was
    assert float(rows["info_nce", "across"]["estimate"].split()[0]) == 0


def test_what_one_seed_says_is_about_its_models():
    found = [record(a, 0, gain=0.1 * (a == "vsm")) for a in PAIR]
    (section,) = answer.of_families(found, ())
    (row, *_) = rows_of(section).values()
    assert row["p"] == row["Holm of 3"] == "-" and row["p, these models"] != "-"


def test_arms_are_held_against_the_floor(found):
    family = Family.of(found, "confirmatory", "mtvr_loo")
    (one, *_) = found
    same = {a: {r: f["VR"] for r, f in row.items()} for a, row in one["ranks"].items()}
    control = {
        "corpus": "mtvr_loo",
        "videos": one["videos"],
        "ranks": {"words": same},
    }
    (table,) = comparisons.above_floor(family, [control])
    means = [
        contrasts.side_values(r, across, contrasts.reciprocal_rank).mean()
        for r in family.arms["info_nce"].values()
    ]
    floor = contrasts.side_values(one, across, contrasts.reciprocal_rank).mean()
    row = dict(zip(table.header, table.rows[2]))
    assert row["across, less the floor"] == "info_nce"
    assert row["estimate"].startswith(f"{np.mean(means) - floor:+.3f} [")
    assert comparisons.above_floor(family, []) == []
    with pytest.raises(UserError, match="other queries"):
        comparisons.above_floor(family, [control | {"videos": [1]}])


def test_what_lies_far_out_is_told_and_leaves_room_for_the_others():
    near = [Estimate(f"n{k}", -0.01, 0.0, 0.01) for k in range(4)]
    drawn = intervals.picture("t", [*near, Estimate("far", 0.9, 1.0, 1.1)])
    assert drawn.count("<circle") == 4
    assert "+1.000 [+0.900, +1.100], beyond the axis" in drawn


def test_intervals_are_drawn_and_escaped():
    drawn = intervals.picture("t", [Estimate("a<b", -0.1, 0.0, 0.2)])
    assert "a&lt;b" in drawn and "<circle" in drawn and 'class="zero"' in drawn
    assert intervals.picture("t", [Estimate("a", 0.0, float("nan"), 1.0)]) == ""


INTERVAL = re.compile(r"[+-]\d+\.\d{3} \[[^\]]*\]")


def test_the_report_quotes_its_tables():
    report, tables = (
        (STUDY / name).read_text("utf-8") for name in ("report.md", "tables.md")
    )
    quoted = INTERVAL.findall(report)
    assert len(quoted) > 10
    assert [interval for interval in quoted if interval not in tables] == []


def test_the_page_begins_with_the_report():
    report, page = (
        (STUDY / f"report.{kind}").read_text("utf-8") for kind in ("md", "html")
    )
    assert pages.rendered(report) in page


@pytest.mark.slow
def test_the_tables_are_made_of_the_cells(tmp_path, monkeypatch):
    for name in ("grid.json", "cells", "controls", "report.md"):
        (tmp_path / name).symlink_to(STUDY / name)
    monkeypatch.setattr("sys.argv", ["answer", "--out", str(tmp_path)])
    answer.main()
    for name in ("tables.md", "report.html"):
        made, published = (d / name for d in (tmp_path, STUDY))
        assert made.read_text("utf-8") == published.read_text("utf-8")


def test_a_study_without_cells_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["answer", "--out", str(tmp_path)])
    with pytest.raises(UserError, match=r"crosslingual\.study --out"):
        answer.main()
    assert Answer(tmp_path).out == tmp_path
