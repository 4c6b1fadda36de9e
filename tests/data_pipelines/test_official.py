import numpy as np
import pytest

from data_pipelines import official
from data_pipelines.schema import Subtitle

SPECIAL = official.Special(bos=0, sep=2, pad=1)
RECORD = {
    "input_ids": [[10, 11], [12], [13]],
    "unique_sub2frames": [[0, [0, 1]], [1, []], [2, [2, 5]]],
}
FEATURES = np.arange(12, dtype=np.float32).reshape(4, 3)


def item(**options):
    defaults = {"max_frames": 4}
    return official.video_item(RECORD, FEATURES, SPECIAL, **defaults | options)


def texts(built):
    return [row.tokens.tolist() for row in built.rows]


def test_the_gather_index_is_that_of_the_test_vector():
    """hero_spec T.3."""
    index = official.gather_index([3, 2], [1, 4], length=6)
    assert index.tolist() == [[0, 4, 5, 6, 4, 5], [0, 1, 2, 3, 4, 5]]


def test_a_row_has_the_separator_its_tokens_and_its_frames():
    built = item()
    assert texts(built) == [[2, 10, 11], [2, 12], [2, 13]]
    np.testing.assert_array_equal(built.rows[0].features, FEATURES[:2])
    assert built.frames == ((0, [0, 1]), (1, []), (2, [2]))


def test_a_subtitle_without_frames_has_a_masked_frame_of_zeros():
    row = item().rows[1]
    assert row.features.tolist() == [[0, 0, 0]]
    assert row.mask.tolist() == [0, 1, 1]


def test_context_is_earlier_subtitles_only():
    """H-15."""
    assert texts(item(context=1)) == [[2, 10, 11], [2, 10, 11, 12], [2, 12, 13]]


def test_a_suffix_ends_every_row():
    suffix = official.pieces([[7], [8, 9]], SPECIAL)
    assert suffix == [2, 7, 2, 8, 9]
    assert texts(item(suffix=suffix))[1] == [2, 12, 2, 7, 2, 8, 9]


def test_frames_without_features_go_only_from_the_rows_when_nothing_is_cut():
    """H-14, H-42."""
    built = item(max_frames=None)
    assert built.frames[2] == (2, [2, 5])
    assert len(built.rows[2].features) == 1


def test_a_video_without_text_is_one_row_of_all_its_frames():
    built = official.video_only_item(FEATURES, SPECIAL)
    assert texts(built) == [[0]]
    assert built.frames == ((0, [0, 1, 2, 3]),)


def test_positions_of_a_batch_are_clamped_for_subtitles_and_not_for_queries():
    """H-65."""
    long = [5] * 520
    subtitle = official.piece_arrays([long], SPECIAL, name="q")
    assert subtitle["q_pos_ids"][0, 510:].tolist() == [510] + [511] * 9
    query = official.query_arrays([long], SPECIAL)
    assert query["query_pos_ids"][0, -1] == 520


def test_of_two_equal_videos_in_a_batch_queries_point_to_the_last():
    rows = official.query_positions(["a", "b", "a"], ["a", "b", "a"])
    assert rows.tolist() == [2, 1, 2]


def test_captions_are_cut_with_their_special_tokens():
    arrays = official.caption_arrays([[5, 6, 7], [8]], SPECIAL, max_tokens=3)
    assert arrays["cap_input_ids"].tolist() == [[0, 5, 6], [0, 8, 1]]
    assert arrays["cap_tgt_ids"].tolist() == [[5, 6, 7], [8, 2, -1]]


def test_a_statement_is_paired_with_its_opposite():
    assert official.opposite("show-01-3-0") == "show-01-3-1"
    assert official.opposite("show-01-3-1") == "show-01-3-0"


def test_a_query_without_moment_has_no_span():
    target = official.moment_target({"target": None}, num_frames=9, interval=1.5)
    assert target == (-1, -1)


def test_features_are_joined_up_to_the_shorter():
    joined = official.joined_features(
        np.ones((3, 2), np.float16), np.zeros((2, 1), np.float16)
    )
    assert joined.tolist() == [[1, 1, 0], [1, 1, 0]]
    assert joined.dtype == np.float32


@pytest.mark.parametrize(("num_frames", "longest"), [(7, 5), (3, 3)])
def test_a_video_without_subtitles_has_wordless_groups(num_frames, longest):
    record = official.subtitle_record([], [], num_frames=num_frames, interval=1.5)
    assert record["input_ids"] == [[]] * len(record["sub2frames"])
    assert record["sub2frames"] == record["unique_sub2frames"]
    assert record["unmatched_frames"] == []
    assert record["max_mtached_sub_len"] == longest


def test_a_record_tells_frames_that_no_subtitle_reaches():
    spoken = [Subtitle("a", 0.0, 1.6)]
    record = official.subtitle_record(spoken, [[9]], num_frames=4, interval=1.5)
    assert record["unique_sub2frames"] == [[0, [0, 1]]]
    assert record["unmatched_frames"] == [2, 3]
