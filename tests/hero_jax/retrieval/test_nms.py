import numpy as np

from hero_jax.retrieval.nms import final_moments, suppress
from hero_jax.retrieval.spans import SpanRules

# hero_spec.md T.9, as rows of one video.
ROWS = np.array(
    [
        [7, 0, 3, 0.9],
        [7, 0, 4.5, 0.8],
        [7, 3, 6, 0.7],
        [7, 0, 6, 0.6],
        [7, 1.5, 3, 0.5],
    ]
)


def test_a_moment_goes_above_the_threshold_and_stays_at_it():
    np.testing.assert_array_equal(suppress(ROWS, 0.5), ROWS[[0, 2, 3, 4]])


def test_moments_of_different_videos_never_repeat_one_another():
    rows = ROWS.copy()
    rows[:, 0] = np.arange(5)
    np.testing.assert_array_equal(suppress(rows, 0.5), rows)


def test_a_removed_moment_removes_nothing_itself():
    rows = np.array([[0, 0, 10, 0.9], [0, 4, 14, 0.8], [0, 9, 19, 0.7]])
    # The second repeats the first, the third only the second.
    np.testing.assert_array_equal(suppress(rows, 0.3), rows[[0, 2]])


def test_nothing_and_points_are_left_as_they_are():
    assert suppress(np.zeros((0, 4)), 0.5).shape == (0, 4)
    points = np.array([[0, 2, 2, 0.5], [0, 2, 2, 0.4]])
    np.testing.assert_array_equal(suppress(points, 0.5), points)


def test_suppression_sees_all_moments_unless_told_to_cut_first():
    rules = SpanRules(max_after_nms=2, nms_threshold=0.5)
    np.testing.assert_array_equal(final_moments(ROWS, rules), ROWS[[0, 2]])
    official = SpanRules(max_after_nms=2, nms_threshold=0.5, truncates_before_nms=True)
    np.testing.assert_array_equal(final_moments(ROWS, official), ROWS[[0]])
    unsuppressed = SpanRules(max_after_nms=2)
    np.testing.assert_array_equal(final_moments(ROWS, unsuppressed), ROWS[:2])
