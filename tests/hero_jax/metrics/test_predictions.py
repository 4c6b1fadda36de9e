import numpy as np
import pytest

from hero_jax.metrics.predictions import handed_in, submission, video_rows

VIDEOS = {"b": 20, "a": 10}


def test_rows_name_videos_by_their_official_index():
    rows = [np.array([[1, 1.5, 4.5, 0.5], [0, 0, 3, 0.25]])]
    content = submission(["17"], VIDEOS, {"VCMR": rows})
    assert content == {
        "video2idx": {"b": 20, "a": 10},
        "VCMR": [
            {
                "desc_id": 17,
                "desc": "",
                "predictions": [(10, 1.5, 4.5, 0.5), (20, 0.0, 3.0, 0.25)],
            }
        ],
    }


def test_videos_alone_are_rows_without_times():
    rows = video_rows(np.array([[1, 0]]), np.array([[0.5, 0.25]]))
    content = submission(["q-1"], VIDEOS, {"VR": rows})
    assert content["VR"][0]["desc_id"] == "q-1"
    assert content["VR"][0]["predictions"] == [(10, 0, 0, 0.5), (20, 0, 0, 0.25)]


def test_a_query_without_ground_truth_has_no_moments_in_its_video():
    rows = [np.array([[0, 1.5, 4.5, 0.5]])]
    tasks = {"VCMR": rows * 2, "SVMR": [None, rows[0]]}
    content = submission(["1", "2"], VIDEOS, tasks)
    assert [entry["desc_id"] for entry in content["VCMR"]] == [1, 2]
    assert [entry["desc_id"] for entry in content["SVMR"]] == [2]


@pytest.mark.parametrize(
    ("query_id", "written"), [("7", 7), ("007", "007"), ("0", 0), ("v7", "v7")]
)
def test_only_what_reads_back_as_itself_becomes_a_number(query_id, written):
    content = submission([query_id], VIDEOS, {"VR": [np.zeros((0, 4))]})
    assert content["VR"][0]["desc_id"] == written


def test_value_wants_moments_and_videos_alone():
    rows = [np.array([[1, 1.5, 4.5, 0.5], [0, 0, 3, 0.25]])]
    tasks = {"VR": rows, "SVMR": rows, "VCMR": rows}
    content = submission(["17"], VIDEOS, tasks)
    assert handed_in(content) == {
        "VCMR": [
            {"desc_id": 17, "predictions": [(10, 1.5, 4.5, 0.5), (20, 0.0, 3.0, 0.25)]}
        ],
        "VR": [{"desc_id": 17, "predictions": [10, 20]}],
    }
    videos_alone = handed_in(submission(["17"], VIDEOS, {"VR": rows}))
    assert set(videos_alone) == {"VR"}
