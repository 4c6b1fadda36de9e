import pytest

from hero_jax.metrics.value import GROUPS, means, score


def recalls(*values):
    return dict(zip(("R@1", "R@5", "R@10", "R@100"), values))


def test_moments_are_scored_at_the_higher_threshold():
    cell = {
        "VR": recalls(50, 60, 70, 80),
        "VCMR": {"0.5": recalls(9, 9, 9, 9), "0.7": recalls(1, 2, 5, 90)},
    }
    assert score("tvr", cell) == 2.67


def test_videos_are_scored_where_there_are_no_moments():
    assert score("yc2r", {"VR": recalls(10, 20, 31, 90), "VCMR": None}) == 20.33


@pytest.mark.parametrize(
    ("task", "cell", "expected"),
    [
        ("violin", {"accuracy": 61.2345}, 61.23),
        ("vlep", {"accuracy": None}, None),
        ("yc2c", {"CIDEr": 12.346}, 12.35),
        ("tvr", {"VR": None, "VCMR": None}, None),
    ],
)
def test_other_tasks_have_one_number_or_none(task, cell, expected):
    assert score(task, cell) == expected


def test_the_official_mean_counts_the_groups_as_tasks():
    """Retrieval 10, 20, 30, 41 and questions 50, 50, 60, 60: 25.25, 55, and H-64."""
    values = (10.0, 20.0, 30.0, 41.0, 50.0, 50.0, 60.0, 60.0)
    tasks = (*GROUPS["retrieval"], *GROUPS["qa"])
    assert means(dict(zip(tasks, values))) == {
        "retrieval": 25.25,
        "qa": 55.0,
        "mean": 40.12,
        "official_mean": 40.12,
    }


def test_a_group_that_is_not_whole_has_no_mean():
    assert means({"tvc": 10.0, "tvr": 20.0}) == {"mean": 15.0, "official_mean": 15.0}
    assert means({}) == {}
