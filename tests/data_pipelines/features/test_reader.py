import av
import numpy as np
import pytest

from data_pipelines.features.reader import VideoFileError, num_intervals, read_frames


def write_video(path, seconds, fps=4, size=(32, 48), codec="mpeg4"):
    """A video whose grey level is 2 x its time in quarter seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for number in range(round(seconds * fps)):
            grey = np.full((*size, 3), 2 * number * 4 // fps % 256, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def greys(frames):
    return [float(frame.mean()) for frame in frames]


def test_a_started_interval_is_a_frame():
    assert num_intervals(60.0, 1.5) == 40
    assert num_intervals(60.2, 1.5) == 41
    assert num_intervals(0.1, 1.5) == 1


def test_rounding_in_a_container_does_not_add_a_frame():
    assert num_intervals(60.004, 1.5) == 40


def test_the_picture_is_the_one_in_the_middle_of_each_interval(tmp_path):
    path = write_video(tmp_path / "a.mp4", 6)
    frames, duration = read_frames(path, 1.5)
    assert duration == pytest.approx(6)
    assert frames.shape == (4, 32, 48, 3)
    assert frames.dtype == np.uint8
    # On screen at .75, 2.25, 3.75 and 5.25 s: pictures 3, 9, 15 and 21.
    assert greys(frames) == pytest.approx([6, 18, 30, 42], abs=2.5)


def test_a_last_interval_that_ends_before_its_middle_shows_the_last_picture(tmp_path):
    frames, _ = read_frames(write_video(tmp_path / "a.mp4", 3.5), 1.5)
    assert greys(frames) == pytest.approx([6, 18, 26], abs=2.5)


def test_a_video_shorter_than_an_interval_has_one_frame(tmp_path):
    frames, duration = read_frames(write_video(tmp_path / "a.mp4", 0.25), 1.5)
    assert len(frames) == 1
    assert duration == pytest.approx(0.25)


def test_an_interval_shorter_than_a_picture_repeats_it(tmp_path):
    frames, _ = read_frames(write_video(tmp_path / "a.mp4", 1, fps=1), 0.25)
    assert len(frames) == 4


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mov"])
def test_other_containers_give_the_same_frames(tmp_path, name):
    frames, duration = read_frames(write_video(tmp_path / name, 6), 1.5)
    assert duration == pytest.approx(6, abs=0.01)
    assert greys(frames) == pytest.approx([6, 18, 30, 42], abs=2.5)


def test_large_pictures_are_reduced_to_a_short_side_of_224(tmp_path):
    path = write_video(tmp_path / "a.mp4", 1, size=(448, 640))
    assert read_frames(path, 1.5)[0].shape == (1, 224, 320, 3)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VideoFileError, match=r"none\.mp4: no such file"):
        read_frames(tmp_path / "none.mp4", 1.5)


@pytest.mark.parametrize("content", [b"", b"not a video at all\n" * 99])
def test_a_file_that_is_no_video_is_named(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoFileError, match=r"a\.mp4"):
        read_frames(tmp_path / "a.mp4", 1.5)


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.mkv"])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_file_that_was_cut_off_is_named(tmp_path, name, share):
    path = write_video(tmp_path / name, 40)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(VideoFileError, match=name.replace(".", r"\.")):
        read_frames(path, 1.5)


def test_a_file_with_sound_only_is_named(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 800), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoFileError, match="has no video stream"):
        read_frames(path, 1.5)


def test_five_real_videos_are_read(shared):
    durations = {
        "3qqEKTPxLNs_1_15": 14,
        "UXs3eq68ZjE_250_255": 5,
        "WTf5EgVY5uU_124_128": 4,
        "j2Dhf-xFUxU_13_20": 7,
        "klteYv1Uv9A_27_33": 6,
    }
    for name, seconds in durations.items():
        frames, duration = read_frames(shared / "data/msvd" / f"{name}.avi", 1.5)
        assert duration == pytest.approx(seconds, abs=0.2)
        assert frames.shape[:2] == (num_intervals(duration, 1.5), 224)
        assert frames.std() > 10
