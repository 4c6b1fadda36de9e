import numpy as np
import pytest

from hero_jax.tasks import packing
from hero_jax.tasks.packing import Segment


def segment(num_tokens, frames=(), first=10):
    tokens = np.arange(first, first + num_tokens, dtype=np.int32)
    return Segment(tokens, np.array(frames, np.int32))


def test_best_fit_fills_two_rows_to_the_brim():
    places, num_rows = packing.best_fit([5, 3, 6, 2], 8)
    assert num_rows == 2
    by_item = [(p.row, p.offset) for p in places]
    assert by_item == [(1, 0), (1, 5), (0, 0), (0, 6)]


def test_no_two_segments_share_a_slot():
    sizes = np.random.default_rng(0).integers(1, 60, 300).tolist()
    places, num_rows = packing.best_fit(sizes, 128)
    taken = np.zeros((num_rows, 128), int)
    for size, place in zip(sizes, places):
        taken[place.row, place.offset : place.offset + size] += 1
    assert taken.max() == 1 and taken.sum() == sum(sizes)


def test_segments_of_a_row_are_numbered_from_one_in_order_of_arrival():
    places, _ = packing.best_fit([2, 2, 2], 8)
    assert [p.segment for p in places] == [1, 2, 3]


def test_balanced_bins_are_equally_long_and_nearly_equally_heavy():
    costs = np.random.default_rng(1).gamma(4, 70, 128).tolist()
    bins = packing.balance(costs, 4)
    assert sorted(i for b in bins for i in b) == list(range(128))
    assert {len(b) for b in bins} == {32}
    totals = [sum(costs[i] for i in b) for b in bins]
    assert max(totals) / min(totals) < 1.01


def test_bins_are_evened_where_items_without_cost_do_not_divide():
    costs = [0.0] * 19 + np.random.default_rng(2).normal(180, 30, 109).tolist()
    totals = [sum(costs[i] for i in b) for b in packing.balance(costs, 4)]
    assert max(totals) - min(totals) < 2


@pytest.mark.parametrize(("tokens", "frames"), [(300, 7), (5, 200), (129, 0), (64, 65)])
def test_an_oversized_segment_is_split_without_losing_anything(tokens, frames):
    whole = segment(tokens, range(frames))
    pieces = packing.split(whole, 128)
    assert all(len(p) <= 128 for p in pieces) and len(pieces) > 1
    np.testing.assert_array_equal(
        np.concatenate([p.tokens for p in pieces]), whole.tokens
    )
    np.testing.assert_array_equal(
        np.concatenate([p.frames for p in pieces]), whole.frames
    )
    starts = [p.first_token for p in pieces]
    assert starts == [0, *np.cumsum([len(p.tokens) for p in pieces])[:-1]]


def test_a_segment_that_fits_stays_whole():
    assert packing.split(segment(100, range(28)), 128)[0].tokens.shape == (100,)


def test_one_row_worked_by_hand():
    # row 0:  frames 1 2 | tokens 10 11 12 || token 20
    video = [segment(3, [1, 2]), segment(1, [], first=20)]
    plans = packing.plan_groups([[5, 1]], 7)
    batch = packing.video_rows(
        [[video]],
        np.zeros((1, 4, 3), np.float32),
        np.ones((1, 4), bool),
        plans,
        num_rows=1,
        row_length=7,
        pad=9,
        has_one_owner=True,
    )
    assert batch.tokens.tolist() == [[9, 9, 10, 11, 12, 20, 9]]
    assert batch.segment.tolist() == [[1, 1, 1, 1, 1, 2, 0]]
    assert batch.position.tolist() == [[0, 1, 0, 1, 2, 0, 0]]
    assert batch.frame.tolist() == [[1, 2, -1, -1, -1, -1, -1]]
    assert batch.owner.tolist() == [[-1, 0, 1, -1]]
    assert packing.fill(batch.segment) == pytest.approx(6 / 7)


def test_a_promised_single_owner_is_checked():
    video = [segment(1, [0]), segment(1, [0])]
    plans = packing.plan_groups([[2, 2]], 4)
    arguments = dict(num_rows=1, row_length=4, pad=0)
    features, mask = np.zeros((1, 2, 3), np.float32), np.ones((1, 2), bool)
    with pytest.raises(ValueError, match="two segments"):
        packing.video_rows(
            [[video]], features, mask, plans, has_one_owner=True, **arguments
        )
    batch = packing.video_rows(
        [[video]], features, mask, plans, has_one_owner=False, **arguments
    )
    assert batch.owner is None


def test_groups_count_frames_and_rows_from_their_own_start():
    group = [[segment(1, [1])], [segment(1, [0])]]
    plans = packing.plan_groups([[2, 2], [2, 2]], 4)
    batch = packing.video_rows(
        [group, group],
        np.zeros((4, 3, 2), np.float32),
        np.ones((4, 3), bool),
        plans,
        num_rows=1,
        row_length=4,
        pad=0,
        has_one_owner=True,
    )
    np.testing.assert_array_equal(batch.frame[0], batch.frame[1])
    np.testing.assert_array_equal(batch.owner[:2], batch.owner[2:])


def test_an_empty_text_is_a_padding_query():
    texts = [[np.array([4, 5]), np.zeros(0, np.int32)]]
    plans = packing.plan_groups([[2]], 3)
    batch = packing.text_rows(texts, plans, num_rows=1, row_length=3, pad=1)
    assert batch.mask.tolist() == [True, False]
    assert batch.tokens.tolist() == [[4, 5, 1]]


def test_a_size_that_does_not_fit_grows_by_eighths():
    assert packing.fit(7, {"rows": 16}, "rows") == 16
    assert packing.fit(17, {"rows": 16}, "rows") == 18
    assert packing.fit(7, {}, "rows") == 7


def test_every_size_is_a_multiple_of_what_the_data_axis_asks_for():
    plan = {"rows": 16, "multiple": 8}
    assert packing.fit(17, plan, "rows") == 24
    assert packing.fit(7, {"multiple": 4}, "rows") == 8


def test_a_text_longer_than_a_row_is_refused():
    with pytest.raises(ValueError, match="found 8, but a text has 9 tokens"):
        packing.best_fit([3, 9], 8)
