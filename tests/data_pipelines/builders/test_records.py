import pytest

from data_pipelines.builders import records
from data_pipelines.schema import (
    Caption,
    CaptionedMoment,
    Query,
    Question,
    Statement,
    Subtitle,
    Video,
)

TEXTS = {"en": "Ann sits.", "zh": "安坐下。"}
RECORDS = {
    "videos": [
        Video("v1", 7.4, 1.5, 5, {"en": (Subtitle("Hi.", 0.1, 61.46),), "zh": ()}),
    ],
    "queries": [Query("q1", TEXTS, "v1", ((1.0, 61.46), (2.0, 3.0)), "vt"),
                Query("q2", {})],
    "parallel": [TEXTS],
    "questions": [
        Question("1", "v1", TEXTS, (TEXTS, {}, {"zh": "是"}), 2, (0.3, 61.46)),
        Question("2", "v1", {}, ({"en": "a"}, {"en": "b"})),
    ],
    "statements": [Statement("1", "v1", TEXTS, False, "2"),
                   Statement("2", "v1", TEXTS, True, "1"),
                   Statement("3", "v1", {})],
    "captions": [
        CaptionedMoment("1", "v1", (0.3, 61.46), (Caption("a", TEXTS, "v"),
                                                  Caption("b", {"en": "b"}))),
        CaptionedMoment("2", "v1"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_comes_back_as_it_was_written(kind):
    features = records.features_of(kind)
    for record in RECORDS[kind]:
        example = features.deserialize_example_np(records.encode(kind, record))
        assert records.decode(kind, example) == record
