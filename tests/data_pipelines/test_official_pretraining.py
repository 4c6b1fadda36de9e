import random

import numpy as np

from data_pipelines.official import Special
from data_pipelines.official_pretraining import (
    IGNORED,
    Recorded,
    held_out,
    hidden_tokens,
    masked_frames,
    shuffled_frames,
    span_of,
    vsm_arrays,
)


def test_frames_are_shuffled_as_recorded():
    order, targets = shuffled_frames(12, random.Random(1), rate=0.3)
    assert order.tolist() == [9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 11]
    assert targets.tolist() == [9, -1, -1, 3, -1, -1, -1, -1, 8, 0, -1, -1]


def test_tokens_are_hidden_as_recorded():
    options = {"rate": 0.3, "mask_id": 50264, "ordinary": (4, 50261)}
    shown, labels = hidden_tokens(range(11, 21), random.Random(0), **options)
    assert np.flatnonzero(labels != IGNORED).tolist() == [3]
    assert labels[3] == 14
    assert shown[3] == 33510


def test_something_is_always_hidden():
    for seed in range(20):
        draws = random.Random(seed)
        shown, labels = hidden_tokens(
            [7, 8], draws, rate=1e-9, mask_id=99, ordinary=(4, 90)
        )
        assert shown.tolist() == [99, 8]
        assert labels.tolist() == [7, IGNORED]
        assert masked_frames(5, draws, rate=1e-9).sum() == 1


def test_held_out_subtitles_keep_their_order_and_are_at_most_all():
    chosen = held_out([3, 5, 8, 9], random.Random(0), count=3)
    assert chosen == sorted(chosen)
    assert set(chosen) < {3, 5, 8, 9}
    assert held_out([3, 5], random.Random(0), count=5) == [3, 5]


def test_a_query_points_at_two_frames_at_least_where_the_video_has_them():
    assert span_of([4], 9) == (4, 5)
    assert span_of([8], 9) == (8, 8)
    assert span_of([2, 3, 6], 9) == (2, 6)


def test_a_query_is_silent_in_its_video_and_the_last_one_fills_up():
    record = {
        "input_ids": [[11, 12], [], [13]],
        "unique_sub2frames": [[0, [0]], [1, []], [2, [1, 2]]],
    }
    video = Recorded(record, np.ones((3, 2), np.float32), max_frames=3)
    special = Special(bos=0, sep=2, pad=1)
    arrays, _ = vsm_arrays([video], special, random.Random(0), count=4)
    assert arrays["f_sub_input_ids"].tolist() == [[2], [2], [2]]
    queries = arrays["query_input_ids"].tolist()
    assert queries == [[0, 11, 12], [0, 13, 1], [0, 13, 1], [0, 13, 1]]
    assert arrays["targets"].tolist() == [[0, 1], [1, 2], [1, 2], [1, 2]]
