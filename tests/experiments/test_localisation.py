"""The rule that copies spans, and the table beside it, on a corpus ranked by hand."""

import numpy as np
import pytest

from data_pipelines.schema import Corpus, Query, Subtitle, Video
from experiments.crosslingual import copied_spans, localisation
from experiments.crosslingual.contrasts import Family
from hero_jax.errors import UserError

LINES = (
    Subtitle("a cat sleeps", 0.0, 10.0),
    Subtitle("a dog barks", 10.0, 20.0),
    Subtitle("the dog sleeps", 20.0, 30.0),
)
ZH = (
    Subtitle("猫睡", 0.0, 10.0),
    Subtitle("狗叫", 10.0, 20.0),
    Subtitle("狗睡", 20.0, 30.0),
)
OTHER = (Subtitle("a bee hums", 0.0, 5.0),)


def query(number, text, video, *moments):
    return Query(str(number), {"en": text}, video, moments)


QUERIES = [
    query(0, "dog barks", "one", (10.0, 20.0)),
    query(1, "dog barks", "one", (20.0, 28.0)),
    query(2, "cat", "one", (40.0, 50.0)),
    query(3, "nothing known", "two", (0.0, 10.0)),
    query(4, "whose video is hidden", None),
]


@pytest.fixture(scope="module")
def test_split():
    subtitles = {"en": LINES, "zh": ZH}
    videos = [
        Video("one", 60.0, 1.5, 40, subtitles),
        Video("two", 60.0, 1.5, 40, {"en": OTHER, "zh": ()}),
    ]
    return Corpus("tiny", "test", ("en", "zh"), videos, QUERIES, [], 0, {})


def test_the_span_of_the_most_similar_line_is_copied(test_split):
    ranks = copied_spans.copied(test_split, "en", lambda q: q.texts["en"].split())
    # Query 1 asks for the third line with the words of the second; 0.8 of it is meant.
    assert ranks == {"0.5": [1, 2, None, 1], "0.7": [1, 2, None, None]}
    spoken = copied_spans.copied(test_split, "zh", lambda q: ["狗", "叫", "狗叫"])
    assert spoken["0.5"] == [1, 2, None, None]


def test_what_cannot_be_said_is_not_searched(test_split):
    assert copied_spans.copied(test_split, "en", lambda q: None) is None


def test_overlaps_are_those_with_the_best_line(test_split):
    assert copied_spans.overlaps(test_split) == [1.0, 0.8, 0.0, 0.5]
    assert copied_spans.places(test_split) == [0, 0, 0, 1]


def cell(arm, seed, ranks, videos=(0, 0, 0, 1)):
    svmr = None if ranks is None else {"0.5": ranks, "0.7": [None] * len(ranks)}
    row = {"en": {"VR": [1] * 4, "SVMR": svmr}, "zh": {"VR": [1] * 4, "SVMR": svmr}}
    return {
        "cell": {
            "family": "f",
            "corpus": "tiny",
            "arm": arm,
            "seed": seed,
            "trial": 0,
            "steps": 1,
        },
        "videos": list(videos),
        "ranks": {"en": row, "zh": row},
    }


CELLS = [
    cell("vsm", 0, [1, 2, 1, None]),
    cell("vsm", 1, [1, 1, 2, None]),
    cell("info_nce", 0, None),
]


def control(test_split):
    copied = copied_spans.copied(test_split, "en", lambda q: q.texts["en"].split())
    found = {"SVMR": copied}
    return {
        "corpus": "tiny",
        "videos": copied_spans.places(test_split),
        "overlaps": copied_spans.overlaps(test_split),
        "spans": {"en": {"en": found, "zh": found}, "zh": {"en": found, "zh": found}},
    }


def test_arms_stand_beside_the_rule_with_and_without_overlap(test_split):
    family = Family.of(CELLS, "f", "tiny")
    note, table = localisation.tables(
        family, ["vsm", "info_nce"], [control(test_split)]
    )
    assert note.startswith("Moments in their own video; 75 % of them overlap")
    rule = ("50.0", "66.7", "0.0", "25.0", "33.3", "0.0")
    arm = ("50.0", "50.0", "50.0", "0.0", "0.0", "0.0")
    assert table.rows == (
        (localisation.RULE, "within", *rule),
        (localisation.RULE, "across", *rule),
        ("vsm", "within", *arm),
        ("vsm", "across", *arm),
    )


def test_nothing_is_said_where_no_arm_points(test_split):
    family = Family.of(CELLS[2:], "f", "tiny")
    assert localisation.tables(family, ["info_nce"], [control(test_split)]) == []
    assert localisation.tables(Family.of(CELLS, "f", "tiny"), ["vsm"], []) == []


def test_other_queries_than_the_rule_s_are_refused(test_split):
    family = Family.of([cell("vsm", 0, [1] * 4, (0, 0, 1, 1))], "f", "tiny")
    with pytest.raises(UserError, match="found other queries"):
        localisation.tables(family, ["vsm"], [control(test_split)])


def test_a_moment_that_no_line_overlaps_is_nobody_s_to_copy(test_split):
    apart = np.array(copied_spans.overlaps(test_split)) == 0
    ranks = copied_spans.copied(test_split, "en", lambda q: q.texts["en"].split())
    assert all(np.array(ranks["0.5"], object)[apart] == None)  # noqa: E711
