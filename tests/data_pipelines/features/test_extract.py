import numpy as np
import pytest

from data_pipelines.features.extract import extract_features, main
from data_pipelines.features.extractor import PixelExtractor
from data_pipelines.features.reader import VideoFileError, read_frames
from data_pipelines.microtv.generate import generate


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    generate(folder, num_videos=5, seed=3)
    return folder / "videos"


def features_in(folder):
    return {path.stem: np.load(path)["features"] for path in folder.glob("*.npz")}


def test_each_video_gets_a_file_of_half_precision_features(videos, tmp_path):
    extractor = PixelExtractor(grid=4)
    extract_features(videos, tmp_path / "f", extractor=extractor, interval=1.5)
    found = features_in(tmp_path / "f")
    assert sorted(found) == sorted(path.stem for path in videos.iterdir())
    for name, features in found.items():
        frames, _ = read_frames(videos / f"{name}.mp4", 1.5)
        assert features.dtype == np.float16
        np.testing.assert_allclose(features, extractor(frames), atol=2e-3)


def test_the_number_of_workers_does_not_matter(videos, tmp_path):
    assert main(["--videos", str(videos), "--out", str(tmp_path), "--workers=2"]) == 0
    extractor = PixelExtractor()
    extract_features(videos, tmp_path / "one", extractor=extractor, interval=1.5)
    one, two = features_in(tmp_path / "one"), features_in(tmp_path)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_files_that_exist_are_left_alone(videos, tmp_path):
    name = next(videos.iterdir()).stem
    np.savez(tmp_path / f"{name}.npz", features=np.ones(3))
    extract_features(videos, tmp_path, extractor=PixelExtractor(2), interval=1.5)
    assert np.array_equal(features_in(tmp_path)[name], np.ones(3))
    assert len(features_in(tmp_path)) == 5


def test_nothing_unfinished_is_left_behind(videos, tmp_path):
    extract_features(videos, tmp_path, extractor=PixelExtractor(2), interval=1.5)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz"}


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(VideoFileError, match="holds no video file"):
        extract_features(tmp_path, tmp_path, extractor=PixelExtractor(), interval=1.5)


def test_two_videos_of_one_name_are_refused(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.avi").touch()
    with pytest.raises(VideoFileError, match=r"a\.mp4: has the same video id"):
        extract_features(tmp_path, tmp_path, extractor=PixelExtractor(), interval=1.5)


def test_the_command_answers_a_damaged_video_in_one_line(tmp_path, capsys):
    (tmp_path / "a.mp4").write_bytes(b"junk")
    out = str(tmp_path / "out")
    assert main(["--videos", str(tmp_path), "--out", out, "--workers", "1"]) == 2
    message = capsys.readouterr().err
    assert "a.mp4" in message
    assert message.count("\n") == 1
