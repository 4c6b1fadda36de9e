import json

import numpy as np
import pytest

from hero_jax.metrics.chance import candidate_spans
from hero_jax.metrics.summary import Answers, summary

SPANS = [candidate_spans(n, 1.0, min_frames=1, max_frames=5) for n in (6, 4, 8)]


def answers(**changes):
    rows = [
        np.array([[0, 0, 2, 0.9], [0, 3, 6, 0.1]], float),
        np.array([[2, 1, 3, 0.5]], float),
        np.zeros((0, 4)),
    ]
    given = {
        "video_ranks": np.array([1, 2, 3]),
        "videos": [0, 2, 1],
        "moments": [[(3.0, 6.0)], [(1.0, 3.0)], []],
        "kinds": ["v", "t", ""],
        "svmr": rows,
        "vcmr": rows,
    }
    return Answers(**(given | changes))


def test_the_table_of_three_queries():
    table = summary(answers(), SPANS)
    assert table["num_queries"] == 3
    assert table["num_videos"] == 3
    assert table["VR"]["R@1"] == pytest.approx(100 / 3)
    assert table["VR"]["MedR"] == 2
    # The third query has no moment: two queries count, one right at once.
    assert table["SVMR"]["0.7"]["R@1"] == 50
    assert table["VCMR"]["0.7"]["R@5"] == 100
    assert set(table["by_type"]) == {"v", "t"}
    assert table["by_type"]["v"]["num_queries"] == 1
    assert table["by_type"]["t"]["VR"]["R@1"] == 0
    assert table["chance"]["VR"]["R@1"] == pytest.approx(100 / 3)
    assert 0 < table["chance"]["VCMR"]["0.5"]["R@1"] < 100


def test_the_table_is_json_without_nan():
    text = json.dumps(summary(answers(), SPANS), allow_nan=False)
    assert set(json.loads(text)["SVMR"]) == {"0.5", "0.7"}


def test_without_a_local_objective_moments_are_none():
    table = summary(answers(svmr=None, vcmr=None), SPANS)
    assert table["SVMR"] is None
    assert table["VCMR"] is None
    assert table["by_type"]["v"]["SVMR"] is None


def test_without_moments_there_is_no_chance_of_finding_one():
    table = summary(answers(moments=[[], [], []]), SPANS)
    assert table["SVMR"] is None
    assert table["chance"]["SVMR"] is None
