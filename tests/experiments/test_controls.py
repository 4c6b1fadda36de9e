"""Rankings without a model, on a corpus small enough to rank by hand."""

import dataclasses

import numpy as np
import pytest

from data_pipelines.bm25 import tokens_of
from data_pipelines.schema import Corpus, Query, Subtitle, Video
from experiments.crosslingual import controls, language_tables
from experiments.crosslingual.pages import as_markdown
from hero_jax.errors import UserError

ANIMALS = {
    "cat": "猫", "dog": "狗", "cow": "牛", "pig": "猪",
    "hen": "鸡", "fox": "狐", "owl": "鸮", "bee": "蜂",
    "ant": "蚁", "bat": "蝠", "elk": "鹿", "rat": "鼠",
}  # fmt: skip
NAMES = list(ANIMALS)


def corpus(split, animals, queries):
    line = lambda text: (Subtitle(text, 0.0, 1.0),)
    videos = [
        Video(f"{split}{i}", 3.0, 1.5, 2, {"en": line(a), "zh": line(ANIMALS[a])})
        for i, a in enumerate(animals)
    ]
    return Corpus("tiny", split, ("en", "zh"), videos, queries, [], 0, {})


def asked(number, animal, video, **more):
    texts = {"en": f"{animal} {number}", "zh": f"{ANIMALS[animal]} {number}"}
    return Query(f"{video}-{number}", texts | more, video, ((0.0, 1.0),))


@pytest.fixture(scope="module")
def found():
    train = [asked(i, a, "train0") for i in range(4) for a in NAMES]
    machine = lambda animal: {"zh-x-google": ANIMALS[animal]}
    test = [asked(7, a, f"test{i}", **machine(a)) for i, a in enumerate(NAMES)]
    return ranked(corpus("train", ["cat"], train), corpus("test", NAMES, test))


def ranked(train, test):
    return controls.ranks(test, controls.translators(train, test))


def test_words_cross_only_where_both_languages_write_them_alike(found):
    assert found["words"]["en"]["en"] == found["words"]["zh"]["zh"] == [1] * 12
    assert sorted(found["words"]["en"]["zh"]) != [1] * 12


def test_what_the_training_texts_teach_crosses(found):
    for name in ("dictionary", "copied"):
        assert found[name]["en"]["zh"] == found[name]["zh"]["en"] == [1] * 12
        assert "en" not in found[name]["en"]


def test_a_language_in_which_nobody_speaks_is_not_searched():
    queries = [asked(7, a, f"test{i}") for i, a in enumerate(NAMES)]
    test = corpus("test", NAMES, queries)
    videos = [
        dataclasses.replace(video, subtitles={**video.subtitles, "zh": ()})
        for video in test.videos
    ]
    test = dataclasses.replace(test, videos=videos)
    ranks = ranked(corpus("train", ["cat"], queries), test)
    assert {tuple(row) for of in ranks.values() for row in of.values()} == {("en",)}
    assert ranks["dictionary"]["zh"]["en"] != []
    record = {"corpus": "tiny", "num_videos": 12, "ranks": ranks}
    text = as_markdown("t", language_tables.of_controls([record]))
    assert "| zh-en |" in text and "zh-zh" not in text


def test_a_machine_translates_only_into_its_language(found):
    assert found["machine"] == {"en": {"zh": [1] * 12}}


def test_machine_translations_of_some_queries_count_for_those_alone():
    said = {"zh-x-google": ANIMALS["cat"]}
    test = [asked(7, a, f"test{i}", **(said if a == "cat" else {}))
            for i, a in enumerate(NAMES)]  # fmt: skip
    test = corpus("test", NAMES, test)
    ranks = ranked(corpus("train", ["cat"], []), test)
    expected = [1 if a == "cat" else None for a in NAMES]
    assert ranks["machine"] == {"en": {"zh": expected}}
    record = {"corpus": "tiny", "num_videos": len(NAMES), "ranks": ranks}
    text = as_markdown("t", language_tables.of_controls([record]))
    assert "| machine | - | 1.000 (of 1) | - | - |" in text


def test_a_query_that_no_training_text_resembles_copies_nothing():
    train = corpus("train", ["cat"], [asked(1, "cat", "train0")])
    copied = controls.translators(train, train)["en", "zh"]["copied"]
    known, unknown = (
        Query("q", {"en": words, "zh": "x"}, "train0", ((0.0, 1.0),))
        for words in ("a cat", "zebra quokka")
    )
    assert copied(known) == tokens_of(f"{ANIMALS['cat']} 1") and not copied(unknown)


def test_controls_are_written_read_and_shown(tmp_path):
    test = corpus("test", NAMES, [asked(7, "cat", "test0")])
    path = tmp_path / "controls" / "tiny.json.gz"
    controls.write(path, "tiny", corpus("train", ["cat"], []), test)
    first = path.read_bytes()
    controls.write(path, "tiny", corpus("train", ["cat"], []), test)
    assert path.read_bytes() == first
    (record,) = controls.read_all(path.parent)
    assert record["num_videos"] == 12 and record["ranks"]["words"]["en"]["en"] == [1]
    assert "copied" not in record["ranks"]
    text = as_markdown("t", language_tables.of_controls([record]))
    chance = np.mean(1 / np.arange(1, 13))
    assert f"chance is {chance:.3f}" in text and "| words | 1.000 |" in text
    path.write_bytes(b"no")
    with pytest.raises(UserError, match="found no record"):
        controls.read_all(path.parent)


def test_controls_read_no_line_beyond_the_frames_of_a_model():
    test = corpus("test", NAMES, [])
    late = Subtitle("late", 2.0, 3.0)
    lines = {"en": (*test.videos[0].subtitles["en"], late), "zh": ()}
    test = dataclasses.replace(
        test, videos=[dataclasses.replace(test.videos[0], subtitles=lines)]
    )
    texts = lambda count: [
        line.text for line in controls.readable(test, count).videos[0].subtitles["en"]
    ]
    assert texts(2) == ["cat", "late"] and texts(1) == ["cat"]
    assert texts(100) == ["cat", "late"]  # the video has two frames of 1.5 s
