from collections import Counter
from itertools import combinations, pairwise

import pytest

from data_pipelines.microtv.facts import (
    FIELDS,
    SAID,
    SHOWN_IN_VT,
    SPLITS,
    TOLD_IN_VT,
    VISUAL,
    key_of,
    pool_of,
    split_of,
)
from data_pipelines.microtv.plan import PlanError, plan_corpus, split_sizes

CHANNEL = {"v": VISUAL, "t": SAID}
SIZES = [5, 12, 61, 520]


@pytest.fixture(scope="module", params=SIZES)
def plans(request):
    return plan_corpus(request.param, seed=request.param)


def of_split(plans, split):
    return [plan for plan in plans if plan.split == split]


def test_every_combination_belongs_to_one_split_in_the_stated_shares():
    pools = {split: set(pool_of("said", split)) for split in SPLITS}
    total = sum(len(pool) for pool in pools.values())
    assert total == 8 * 10 * 7 * 8
    assert all(not pools[a] & pools[b] for a, b in combinations(SPLITS, 2))
    shares = [len(pools[split]) / total for split in SPLITS]
    assert shares == pytest.approx([0.6, 0.2, 0.2], abs=0.02)


def test_training_covers_every_pair_of_facts():
    for channel in ("visual", "said"):
        fields = list(VISUAL if channel == "visual" else SAID)
        for a, b in combinations(range(len(fields)), 2):
            seen = {(key[a], key[b]) for key in pool_of(channel, "train")}
            assert len(seen) == len(FIELDS[fields[a]]) * len(FIELDS[fields[b]])


def test_at_520_videos_the_test_split_holds_at_least_100():
    assert split_sizes(520) == {"train": 364, "val": 52, "test": 104}
    assert split_sizes(5) == {"train": 3, "val": 1, "test": 1}


@pytest.mark.parametrize("size", [0, 4, 1201])
def test_an_impossible_size_is_refused_in_one_line(size):
    with pytest.raises(PlanError, match=f"--videos is {size}, expected 5 to 1200"):
        plan_corpus(size, 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(PlanError, match="--seed is -1"):
        plan_corpus(5, -1)


def test_the_seed_decides_everything():
    assert plan_corpus(12, 1) == plan_corpus(12, 1)
    assert plan_corpus(12, 1) != plan_corpus(12, 2)


def test_every_video_is_asked_for_by_every_channel(plans):
    for plan in plans:
        kinds = Counter(scene.kind for scene in plan.scenes)
        assert kinds == {"v": 2, "t": 2, "vt": 1}


def test_scenes_follow_one_another_for_40_to_80_seconds(plans):
    for plan in plans:
        ends = [0.0] + [scene.end for scene in plan.scenes]
        assert [scene.start for scene in plan.scenes] == ends[:-1]
        assert 40 <= plan.duration <= 80


def test_lines_are_short_and_in_order_and_inside_their_scene(plans):
    for plan in plans:
        lines = [line for scene in plan.scenes for line in scene.lines]
        assert 12 <= len(lines) <= 20
        assert all(1.49 <= line.end - line.start <= 4.01 for line in lines)
        assert all(a.end <= b.start for a, b in pairwise(lines))
        for scene in plan.scenes:
            assert scene.start <= scene.lines[0].start
            assert scene.lines[-1].end <= scene.end
            assert scene.lines[0].kind == "tell"


def test_what_is_asked_for_happens_in_one_video_of_its_split(plans):
    for split in SPLITS:
        for kind, fields in CHANNEL.items():
            shown = Counter(
                key_of(scene.facts, fields)
                for plan in of_split(plans, split)
                for scene in plan.scenes
            )
            for plan in of_split(plans, split):
                for scene in plan.scenes:
                    if scene.kind == kind:
                        assert shown[key_of(scene.facts, fields)] == 1


def test_both_halves_of_a_vt_query_meet_in_one_scene_of_the_whole_corpus(plans):
    halves = (*SHOWN_IN_VT, *TOLD_IN_VT)
    met = Counter(key_of(s.facts, halves) for plan in plans for s in plan.scenes)
    asked = [s for plan in plans for s in plan.scenes if s.kind == "vt"]
    assert {met[key_of(scene.facts, halves)] for scene in asked} == {1}


@pytest.mark.parametrize("half", [SHOWN_IN_VT, TOLD_IN_VT])
def test_each_half_of_a_vt_query_fits_several_videos(plans, half):
    """So that one channel alone stays under 50 %, from nine videos on."""
    for split in SPLITS:
        asked = [
            key_of(scene.facts, half)
            for plan in of_split(plans, split)
            for scene in plan.scenes
            if scene.kind == "vt"
        ]
        if len(asked) >= 9:
            assert len(set(asked)) / len(asked) < 0.5


def test_combinations_of_the_test_split_are_absent_from_training(plans):
    for plan in plans:
        for scene in plan.scenes:
            for fields in CHANNEL.values():
                assert split_of(key_of(scene.facts, fields)) == plan.split


def test_every_fourth_video_differs_from_its_sibling_in_one_fact_a_scene():
    plans = {plan.video_id: plan for plan in plan_corpus(520, 0)}
    distractors = [plan for plan in plans.values() if plan.sibling]
    assert len(distractors) >= len(plans) // 4 - 3
    num_changed = 0
    for plan in distractors:
        sibling = plans[plan.sibling]
        assert sibling.split == plan.split
        for mine, theirs in zip(plan.scenes, sibling.scenes):
            assert mine.kind == theirs.kind
            if mine.changed:
                fields = CHANNEL[mine.kind]
                differ = [f for f in fields if mine.facts[f] != theirs.facts[f]]
                assert differ == [mine.changed]
                num_changed += 1
    assert num_changed >= 0.95 * 4 * len(distractors)
