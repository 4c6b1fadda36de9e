import json

import numpy as np

from hero_jax.metrics.predictions import submission, video_rows, write_json

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
                "predictions": [[10, 1.5, 4.5, 0.5], [20, 0.0, 3.0, 0.25]],
            }
        ],
    }


def test_videos_alone_are_rows_without_times():
    rows = video_rows(np.array([[1, 0]]), np.array([[0.5, 0.25]]))
    content = submission(["q-1"], VIDEOS, {"VR": rows})
    assert content["VR"][0]["desc_id"] == "q-1"
    assert content["VR"][0]["predictions"] == [[10, 0, 0, 0.5], [20, 0, 0, 0.25]]


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "predictions" / "test.json"
    write_json(path, {"video2idx": {"ü": 1}})
    write_json(path, {"video2idx": {"ü": 2}})
    assert json.loads(path.read_text("utf-8")) == {"video2idx": {"ü": 2}}
    assert [p.name for p in path.parent.iterdir()] == ["test.json"]
