"""Results files and tables for a terminal."""

import json
import math

import numpy as np
import pytest

from hero_jax import report
from hero_jax.errors import UserError


def vr(mrr):
    return {"R@1": 100 * mrr / 2, "R@5": 60.0, "R@10": 70.0, "MedR": 2.0, "MRR": mrr}


def cell(mrr, *, is_local=True):
    moments = {"0.5": {"R@1": 41.26}, "0.7": {"R@1": 20.0}} if is_local else None
    return {
        "VR": vr(mrr),
        "SVMR": moments,
        "VCMR": moments,
        "by_type": {"v": {"VR": vr(mrr / 2)}, "t": {"VR": vr(mrr)}},
        "num_queries": 30,
        "num_videos": 10,
        "chance": {"VR": {"MRR": 0.2929, "R@1": 10.0}, "VCMR": {"0.5": {"R@1": 0.04}}},
    }


RESULTS = {
    "vsm": {
        "en": {"none": cell(0.25), "en": cell(0.612), "zh": cell(0.5)},
        "zh": {"none": cell(0.3), "en": cell(0.4), "zh": cell(1.0)},
    },
    "info_nce": {"en": {"en": cell(0.7, is_local=False)}},
}


# The results file


def test_results_come_back_as_they_were_written(tmp_path):
    report.write_results(tmp_path / "run" / "results.json", RESULTS, {"seed": 3})
    results, meta = report.read_results(tmp_path / "run" / "results.json")
    assert results == RESULTS
    assert meta == {"seed": 3}


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"results": 3, "meta": {}}', "{}"])
def test_a_file_without_results_is_refused_by_name(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match="results.json: found no results .*remove the"):
        report.read_results(tmp_path / "results.json")


def test_the_file_is_strict_json(tmp_path):
    values = {"a": np.float32(0.5), "b": np.int64(7), "c": math.nan, "d": (True, None)}
    report.write_results(tmp_path / "r.json", {}, values)
    text = (tmp_path / "r.json").read_text()
    assert "NaN" not in text
    expected = {"a": 0.5, "b": 7, "c": None, "d": [True, None]}
    assert json.loads(text)["meta"] == expected


def test_curves_keep_the_later_value_of_a_step_and_pass_over_a_torn_line(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "a/span": 4, "a/loss": 2.0, "task": "mlm", "speed": 5}\n'
        '{"step": 2, "a/loss": 9}\n{"step": 2, "a/loss": 1.5}\n{"step": 3, "a/lo'
    )
    assert list(report.read_curves(path).items()) == [
        ("a/loss", [(1, 2.0), (2, 1.5)]),
        ("a/span", [(1, 4.0)]),
    ]


# The tables


def test_a_table_shows_queries_down_and_subtitles_across_with_none_last():
    lines = report.tables(RESULTS).splitlines()
    assert lines[0] == "vsm: queries down, subtitles across (30 queries, 10 videos)"
    assert lines[1].split("  ")[1] == "VR MRR (chance .293)"
    assert lines[2].split()[:3] == ["en", "zh", "none"]
    assert lines[3].split()[:4] == ["en", ".612", ".500", ".250"]
    assert lines[4].split()[:4] == ["zh", ".400", "1.000", ".300"]


def test_a_table_shows_moments_by_iou_and_types():
    text = report.tables(RESULTS)
    assert "41.3/20.0" in text
    assert "VCMR R@1 % at IoU 0.5 / 0.7 (chance 0.04 / –)" in text
    assert "VR MRR by query type, v / t" in text
    assert ".306/.612" in text


def test_an_objective_that_finds_no_moments_says_so():
    vsm, info_nce = report.tables(RESULTS).split("\n\n")
    assert "no local objective" not in vsm
    assert "SVMR, VCMR: no local objective" in info_nce


def test_numbers_are_read_off_a_cell():
    assert report.VR_MRR.of(cell(0.5)) == 0.5
    assert report.LOCAL[0].of(cell(0.5)) == 41.26
    assert report.LOCAL[0].of(cell(0.5, is_local=False)) is None
    assert report.LOCAL[0].of({"SVMR": report.NO_LOCAL}) is None
    assert report.VR_MRR.of(None) is None


def test_the_numbers_of_any_task_can_be_shown():
    text = report.shown("run", {"mlm": {"loss": 0.25, "accuracy": 50.0}, "n": 3})
    assert text.splitlines() == [
        "run/mlm/loss: 0.25",
        "run/mlm/accuracy: 50",
        "run/n: 3",
    ]
    assert report.shown("run", {}) == f"run: {report.UNKNOWN}"


def test_a_language_matrix_is_shown_as_tables():
    cell = {"VR": None, "num_queries": 3, "num_videos": 2, "by_type": {}}
    assert "queries down, subtitles across" in report.shown("run", {"en": {"en": cell}})
