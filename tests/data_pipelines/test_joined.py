import dataclasses

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus, read_fingerprint
from data_pipelines.joined import join
from data_pipelines.readers.errors import InputError
from tests.data_pipelines import retrieved_releases


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    root = tmp_path_factory.mktemp("joined")
    release = retrieved_releases.write_vatex_en_r(root / "raw")
    features = retrieved_releases.write_features(root / "features")
    build_dataset("vatex_en_r", data_dir=release, out=root / "out", features=features)
    return root / "out"


@pytest.fixture
def parts(out):
    return [open_corpus(out, "vatex_en_r", split) for split in ("train", "val")]


def test_two_splits_open_as_one_with_all_that_they_hold(out, parts):
    whole = open_corpus(out, "vatex_en_r", "train+val")
    first, second = parts
    assert whole.split == "train+val"
    assert whole.videos == (*first.videos, *second.videos)
    assert whole.queries == (*first.queries, *second.queries)
    assert len(whole.features) == 9
    for place in (0, 5, 6, -1):
        expected = [*first.features, *second.features][place]
        np.testing.assert_array_equal(whole.features[place], expected)
    assert len(whole.features[4:8]) == 4
    with pytest.raises(IndexError):
        whole.features[9]


def test_what_identifies_them_is_known_without_a_record(out, parts):
    found, languages = read_fingerprint(out, "vatex_en_r", "train+val")
    whole = open_corpus(out, "vatex_en_r", "train+val")
    assert found == whole.fingerprint and languages == whole.languages
    assert (found["num_videos"], found["num_queries"]) == (9, 18)
    assert found["digest"] not in [part.fingerprint["digest"] for part in parts]
    turned, _ = read_fingerprint(out, "vatex_en_r", "val+train")
    assert turned["digest"] != found["digest"]


def test_a_split_named_twice_is_there_once_and_an_unknown_one_is_named(out):
    alone = open_corpus(out, "vatex_en_r", "val+val")
    assert alone.split == "val" and len(alone.videos) == 3
    for split in ("train+dev", "train+", "+"):
        with pytest.raises(InputError, match="is not in it, expected one of "):
            read_fingerprint(out, "vatex_en_r", split)


def test_records_that_are_numbered_alike_stay_apart(parts):
    first, second = parts
    alike = [
        dataclasses.replace(query, query_id=other.query_id)
        for query, other in zip(second.queries, first.queries)
    ]
    whole = join([first, dataclasses.replace(second, queries=tuple(alike))])
    names = [query.query_id for query in whole.queries]
    assert names[:2] == ["0", "1"] and names[12:14] == ["val:0", "val:1"]
    assert len(set(names)) == 18


def test_splits_that_share_a_video_are_refused(parts):
    again = dataclasses.replace(parts[1], videos=parts[0].videos[2:3])
    with pytest.raises(InputError, match="videos: 'v2_0' is in train and in val"):
        join([parts[0], again])


def test_numbers_of_videos_are_those_of_all_or_none(parts):
    first, second = parts
    assert join(parts).video_numbers == first.video_numbers | second.video_numbers
    bare = dataclasses.replace(second, video_numbers={})
    assert join([first, bare]).video_numbers == {}
