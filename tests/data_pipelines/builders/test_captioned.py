"""The releases of captions, built from miniatures."""

import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.schema import Caption
from tests.data_pipelines import captioned_releases


def built(dataset, folder, split):
    release = getattr(captioned_releases, f"write_{dataset}")(folder / "raw")
    build_dataset(dataset, data_dir=release, out=folder / "out")
    return open_corpus(folder / "out", dataset, split)


def test_moments_come_with_their_captions_and_the_durations_of_their_lines(tmp_path):
    corpus = built("tvc", tmp_path, "train")
    assert [v.video_id for v in corpus.videos] == ["v0", "v1", "v2"]
    assert {v.duration for v in corpus.videos} == {10.5}
    assert corpus.videos[0].subtitles["en"][0].text == "Good morning."
    moment = corpus.captions[3]
    assert (moment.moment_id, moment.video_id, moment.moment) == (
        "11",
        "v1",
        (3.0, 9.0),
    )
    assert moment.captions[1] == Caption("23", {"en": "A woman has box 11."})


@pytest.mark.parametrize("dataset", ["yc2c", "vatex_en_c"])
def test_without_times_captions_are_of_the_whole_video(dataset, tmp_path):
    corpus = built(dataset, tmp_path, "val")
    (moment,) = corpus.captions
    assert moment.moment is None
    assert len(moment.captions) == 2


def test_the_test_split_keeps_its_captions_to_itself(tmp_path):
    corpus = built("tvc", tmp_path, "test_public")
    assert [m.captions for m in corpus.captions] == [(), ()]
