import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_pipelines import align
from data_pipelines.schema import Subtitle

FIRST_VECTOR = [(0.4, 2.9), (2.5, 4.6), (4.6, 4.6), (7.0, 30.0)]
SECOND_VECTOR = [(0, 3), (3, 6), (19, 21)]


def spoken(*times, text="hello"):
    return [Subtitle(text, start, end) for start, end in times]


def frames(times, *, num_frames=12, interval=1.5, **options):
    found = align.frames_of_subtitles(
        spoken(*times), num_frames=num_frames, interval=interval, **options
    )
    return [one.tolist() for one in found]


def candidates(times, *, num_frames=12):
    found = align.official_candidates(
        spoken(*times), num_frames=num_frames, interval=1.5
    )
    return [one.tolist() for one in found]


# --- our rule -----------------------------------------------------------------------


def test_a_frame_belongs_to_every_subtitle_spoken_over_it():
    assert frames([(0.5, 2.9), (2.5, 5.9)]) == [[0, 1], [1, 2, 3]]


def test_a_subtitle_that_ends_where_a_frame_starts_does_not_reach_it():
    assert frames([(1.5, 3.0)]) == [[1]]


def test_times_that_binary_fractions_cannot_hold_fall_on_the_right_frame():
    assert frames([(0.3, 0.7)], interval=0.1) == [[3, 4, 5, 6]]


def test_an_instant_has_the_frame_it_falls_into():
    assert frames([(4.6, 4.6), (6.0, 6.0)]) == [[3], [4]]


def test_a_subtitle_after_the_last_frame_has_the_last_frame():
    assert frames([(19, 21)]) == [[11]]


def test_a_long_last_subtitle_keeps_all_its_frames():
    assert frames([(0.0, 18.0)]) == [list(range(12))]


def test_only_a_subtitle_without_text_may_have_no_frame():
    late = spoken((19, 21), text=" ")
    assert align.frames_of_subtitles(late, num_frames=12, interval=1.5)[0].size == 0


def test_a_video_without_frames_gives_no_frames():
    assert frames([(0, 3)], num_frames=0) == [[]]


def test_frames_are_int32():
    found = align.frames_of_subtitles(spoken((0, 3)), num_frames=2, interval=1.5)
    assert found[0].dtype == np.int32


@pytest.mark.parametrize("interval", [0, -1.5, math.nan])
def test_an_impossible_interval_is_refused(interval):
    with pytest.raises(ValueError, match="interval is .*expected a positive"):
        frames([(0, 3)], interval=interval)


times = st.lists(
    st.tuples(st.floats(0, 40), st.floats(0, 25)).map(lambda t: (t[0], t[0] + t[1])),
    min_size=1,
    max_size=8,
)


@given(times, st.integers(1, 20), st.sampled_from([0.5, 1.5, 2.0]))
def test_frames_are_exactly_those_overlapped_or_else_the_nearest(
    times, num_frames, interval
):
    for (start, end), found in zip(
        times, frames(times, num_frames=num_frames, interval=interval)
    ):
        clear = 1e-5 * interval  # Nearer than that to an edge, either side is right.
        inside = range(num_frames)
        surely, perhaps = (
            {
                f
                for f in inside
                if start < (f + 1) * interval + edge and end > f * interval - edge
            }
            for edge in (-clear, clear)
        )
        nearest = min(int(start / interval), num_frames - 1)
        assert surely <= set(found) <= (perhaps or {nearest})
        assert found == sorted(set(found)) and found


# --- the official rule --------------------------------------------------------------


def test_the_official_rule_gives_the_first_test_vector():
    """hero_spec T.1."""
    assert candidates(FIRST_VECTOR) == [[0, 1], [1, 2, 3], [3], list(range(4, 20))]
    owned = frames(FIRST_VECTOR, official=True)
    assert owned == [[0, 1], [2, 3], [], list(range(4, 12))]


def test_the_official_rule_gives_the_second_test_vector():
    """hero_spec T.1: the third subtitle starts after the last frame."""
    assert candidates(SECOND_VECTOR) == [[0, 1], [2, 3], []]
    assert frames(SECOND_VECTOR, official=True) == [[0, 1], [2, 3], []]


def test_officially_only_a_long_last_subtitle_is_cut_to_eleven_frames():
    """H-16."""
    assert [len(f) for f in candidates([(0, 30), (1.4, 30)])] == [20, 11]
    # What counts is how much of it lies inside the video: here 16 s and 15.9 s.
    assert [len(f) for f in candidates([(2.0, 30)])] == [19]
    assert [len(f) for f in candidates([(1.9, 30)])] == [11]


def test_officially_equal_fits_go_to_the_first_subtitle():
    assert frames([(0, 3), (0, 3)], official=True) == [[0, 1], []]


def test_officially_a_frame_under_an_instant_goes_to_subtitle_zero():
    """H-17."""
    assert frames([(0, 1.5), (4.6, 4.6)], official=True) == [[0, 3], []]


@given(times, st.integers(1, 20))
def test_officially_every_frame_has_at_most_one_owner(times, num_frames):
    found = frames(times, num_frames=num_frames, official=True)
    owned = [f for one in found for f in one]
    assert len(owned) == len(set(owned))
    assert set(owned) <= set(range(num_frames))


def test_an_official_video_without_subtitles_has_groups_of_five():
    groups = [g.tolist() for g in align.frames_of_wordless_video(12)]
    assert groups == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


def test_a_missing_frame_count_is_guessed_from_the_last_subtitle():
    assert align.official_num_frames(0, spoken((0, 10.9)), 1.5) == 6
    assert align.official_num_frames(7, spoken((0, 10.9)), 1.5) == 7


# --- the cut ------------------------------------------------------------------------

LISTS = [[0, 1], [], [2, 3, 4, 5], [6], []]


def cut(lists, **options):
    arrays = [np.array(one, np.int32) for one in lists]
    return [(i, f.tolist()) for i, f in align.cut_frames(arrays, **options)]


def test_the_official_cut_gives_the_test_vector():
    """hero_spec T.2."""
    kept = cut(LISTS, max_frames=5, official=True)
    assert kept == [(0, [0, 1]), (1, []), (2, [2, 3, 4])]


def test_the_official_cut_drops_what_follows_the_first_loss():
    lists = [[0, 1, 8], [2, 3], [4]]
    assert cut(lists, max_frames=5, official=True) == [(0, [0, 1])]
    assert cut([[8], [2]], max_frames=5, official=True) == []


def test_our_cut_drops_only_what_is_spoken_beyond_it():
    lists = [[0, 1, 8], [2, 3], [7], [4]]
    assert cut(lists, max_frames=5) == [(0, [0, 1]), (1, [2, 3]), (3, [4])]


# --- spans --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "last_frame", "retrieval", "caption"),
    [
        ((3.2, 7.6), 39, (2, 5), (2, 5)),
        ((0, 1.2), 39, (0, 1), (0, 1)),
        ((0, 1.5), 39, (0, 1), (0, 1)),
        ((0, 3.0), 39, (0, 1), (0, 2)),
        ((58.0, 60.2), 39, (38, 39), (38, 40)),
        ((50.19, 57.73), 38, (33, 38), (33, 38)),
        ((148, 160), 99, (98, 99), (98, 100)),
        ((1.49, 1.51), 39, (0, 1), (0, 1)),
    ],
)
def test_moments_become_the_spans_of_the_test_vectors(
    moment, last_frame, retrieval, caption
):
    """hero_spec T.4; captions are half-open and limited to one more frame there."""
    start, end = moment
    size = {"num_frames": last_frame + 1, "interval": 1.5}
    assert align.span_of_moment(start, end, **size) == retrieval
    assert align.span_of_caption(start, end, **size) == caption


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("20.16-25.12", (13, 16)),
        ("NaN-NaN", (-1, -1)),
        ([1.0, 2.0], (-1, -1)),
        ("1.5", (-1, -1)),
        (None, (-1, -1)),
        ("1-inf", (-1, -1)),
        ("1-2-3", (-1, -1)),
    ],
)
def test_a_question_has_the_span_of_its_text_or_none(text, span):
    """hero_spec T.4."""
    assert align.span_of_text(text, num_frames=40, interval=1.5) == span


def test_a_span_lasts_until_the_end_of_its_last_frame():
    assert align.moment_of_span(2, 5, 1.5) == (3.0, 9.0)


@given(st.integers(0, 30), st.integers(1, 30), st.sampled_from([0.5, 1.5, 2.0]))
def test_the_moment_of_a_span_of_two_frames_or_more_gives_the_span_back(
    first, more, interval
):
    moment = align.moment_of_span(first, first + more, interval)
    size = {"num_frames": 100, "interval": interval}
    assert align.span_of_moment(*moment, **size) == (first, first + more)


# --- the length filter --------------------------------------------------------------


def test_a_query_is_kept_up_to_the_limit():
    assert align.query_is_kept(60, 60)
    assert not align.query_is_kept(61, 60)
    assert align.query_is_kept(10**6, None)


def test_a_question_counts_with_its_longest_answer():
    assert align.query_is_kept([10, 3, 50], 60)
    assert not align.query_is_kept([10, 51, 3], 60)
