"""Frames made of words: what is planted in the texts is found in the features."""

import json

import numpy as np
import pytest

from data_pipelines import synthetic
from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from data_pipelines.synthetic import Options, is_synthetic, make_features, show_of
from tests.data_pipelines import miniature

ENGLISH = [f"{a}{b}" for a in ("ba", "ko", "mi", "ru", "se", "zu") for b in "dlnpt"]
CHINESE = [chr(0x4E00 + 41 * i) for i in range(30)]
DURATION = 30.0
NUM_FRAMES = 20
LOUD = Options(signal_to_noise=50.0, width=32)


def write_release(folder, changes=None):
    """Ten videos; query q of video v is about word (3 v + q) % 30 from 6 q to 6 q + 3.

    So the third to fifth of a video are the first and second of the next. `changes`
    holds the texts of some queries by (video, query).
    """
    names = [f"{('grey_', '')[v % 2]}s01e{v:02}_seg01" for v in range(10)]
    table = {name: [DURATION, v] for v, name in enumerate(names)}
    splits = {"test_public": {}, "test_challenge": {}, "val": table}
    miniature.write_json(folder / "tvr_video2dur_idx.json", splits)
    rows = [
        {"desc_id": 5 * v + q, "vid_name": names[v], "duration": DURATION, "type": "v",
         "ts": [6.0 * q, 6.0 * q + 3],
         "descs": (changes or {}).get((v, q), texts((3 * v + q) % 30))}
        for v in range(10) for q in range(5)
    ]  # fmt: skip
    miniature.write_lines(folder / "tvr_zh_en_val_release.jsonl", rows)
    pairs = [(i, (i + step) % 30) for step in (7, 11) for i in range(30)]
    rows = [{"desc_id": 100 + i, "descs": texts(*p)} for i, p in enumerate(pairs)]
    miniature.write_lines(folder / "tvr_zh_en_test_public_release.jsonl", rows)
    return folder


def texts(*numbers):
    return {
        "en": " ".join(ENGLISH[i] for i in numbers),
        "zh": "，".join(CHINESE[i] for i in numbers),
    }


def made(folder, options=LOUD, changes=None):
    """Video -> float32 frames."""
    release = write_release(folder / "raw", changes)
    make_features(release, folder / "made", options)
    return {
        path.stem: np.load(path)["features"].astype(np.float32)
        for path in sorted((folder / "made").glob("*.npz"))
    }


def of_concept(frames, number):
    """The frames of every moment about a word."""
    found = []
    for v, name in enumerate(
        sorted(frames, key=lambda name: name.removeprefix("grey_"))
    ):
        for q in range(5):
            if (3 * v + q) % 30 == number:
                found.append(frames[name][4 * q : 4 * q + 2])
    return np.concatenate(found)


def likeness(a, b):
    """Mean cosine."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    return float(np.mean(unit(a) @ unit(b).T))


def test_frames_of_one_concept_are_closer_than_others(tmp_path):
    frames = made(tmp_path)
    assert len(frames) == 10
    assert {f.shape for f in frames.values()} == {(NUM_FRAMES, 32)}
    same, other = [], []
    for number in range(0, 28, 3):
        own = of_concept(frames, number)
        assert len(own) == 4  # in two videos, and of two shows
        same.append(likeness(own[:2], own[2:]))
        other.append(likeness(own[:2], of_concept(frames, number + 1)[2:]))
    assert np.mean(same) > np.mean(other) + 0.3


def test_frames_in_no_moment_show_the_show_alone(tmp_path):
    frames = made(tmp_path)
    rest = {name: f[2:4] for name, f in frames.items()}
    grey = [f for name, f in rest.items() if name.startswith("grey_")]
    others = [f for name, f in rest.items() if not name.startswith("grey_")]
    assert likeness(grey[0], grey[1]) > 0.99
    assert likeness(grey[0], others[0]) < 0.7
    assert np.linalg.norm(rest["s01e01_seg01"], axis=1) == pytest.approx(50, rel=0.1)


def test_without_signal_there_is_noise_alone(tmp_path):
    options = Options(signal_to_noise=0.0, width=200)
    frames = made(tmp_path / "one", options)
    other = {(v, q): texts((v + q) % 30) for v in range(10) for q in range(5)}
    again = made(tmp_path / "other", options, other)
    for name, values in frames.items():
        np.testing.assert_array_equal(values, again[name])
    flat = np.concatenate(list(frames.values()))
    assert np.mean(np.sum(flat**2, axis=1)) == pytest.approx(1, rel=0.02)
    own = of_concept(frames, 3)
    assert abs(likeness(own[:2], own[2:])) < 0.15


def test_a_word_in_one_language_alone_shows_nothing(tmp_path):
    """Neither text can be seen better than the other."""
    neither = {"en": "nothing", "zh": "无"}
    frames = made(tmp_path / "neither", LOUD, {(2, 0): neither})
    for name, change in (
        ("english", {"en": ENGLISH[6], "zh": "无"}),
        ("chinese", {"en": "nothing", "zh": CHINESE[6]}),
        ("no_pair", {"en": ENGLISH[6], "zh": CHINESE[7]}),
    ):
        others = made(tmp_path / name, LOUD, {(2, 0): change})
        for video_id, values in frames.items():
            np.testing.assert_array_equal(values, others[video_id])
    both = made(tmp_path / "both", LOUD, {(2, 0): texts(6)})
    assert any(np.any(both[video_id] != f) for video_id, f in frames.items())


def test_what_only_searched_texts_say_is_no_concept(tmp_path):
    """The dictionary knows the unlinked texts alone."""
    neither = {(v, 0): {"en": "nothing", "zh": "无"} for v in range(10)}
    only_there = {(v, 0): {"en": "wombat", "zh": "熊"} for v in range(10)}
    frames = made(tmp_path / "neither", LOUD, neither)
    others = made(tmp_path / "there", LOUD, only_there)
    for video_id, values in frames.items():
        np.testing.assert_array_equal(values, others[video_id])


def test_the_same_options_make_the_same_bytes(tmp_path):
    release = write_release(tmp_path / "raw")
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    for folder in (first, second):
        make_features(release, folder, LOUD)
    make_features(release, third, Options(**{**vars(LOUD), "seed": 1}))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
        assert path.read_bytes() != (third / path.name).read_bytes()
    plan = json.loads((first / "synthetic.json").read_text())
    assert plan["signal_to_noise"] == 50 and plan["seed"] == 0
    assert "Synthetic features" in plan["about"]


def test_what_is_made_is_not_made_again_and_what_is_unfinished_is(tmp_path):
    release, out = write_release(tmp_path / "raw"), tmp_path / "made"
    assert make_features(release, out, LOUD).is_new
    (path,) = out.glob("s01e03*")
    date = path.stat().st_mtime_ns
    assert not make_features(release, out, LOUD).is_new
    assert path.stat().st_mtime_ns == date
    plan = out / "synthetic.json"
    plan.write_text(plan.read_text().replace("true", "false"))
    assert not is_synthetic(out)
    assert make_features(release, out, LOUD).is_new and is_synthetic(out)
    write_release(release, {(0, 0): texts(9)})
    assert make_features(release, out, LOUD).is_new


def test_a_dataset_is_built_of_them_under_a_name_that_says_so(tmp_path):
    frames = made(tmp_path, Options(width=6))
    for dataset in ("mtvr_loo", "mtvr_loo_synthetic"):
        built = build_dataset(
            dataset,
            data_dir=tmp_path / "raw",
            out=tmp_path / "out",
            features=tmp_path / "made",
        )
        assert built.dataset == f"{dataset}_fold0"
        warned = any("synthetic features, which only" in w for w in built.warnings)
        assert warned == (dataset == "mtvr_loo")
        corpus = open_corpus(tmp_path / "out", built.dataset, "all")
        for video, features in zip(corpus.videos, corpus.features, strict=True):
            np.testing.assert_array_equal(features, frames[video.video_id])


def test_frames_that_are_not_synthetic_are_not_called_so(tmp_path):
    release = write_release(tmp_path / "raw")
    folder = miniature.write_features(tmp_path / "features", [])
    for features in (None, folder):
        with pytest.raises(InputError, match="--features: holds no synthetic features"):
            build_dataset(
                "mtvr_loo_synthetic",
                data_dir=release,
                out=tmp_path / "out",
                features=features,
            )


def test_real_features_are_not_overwritten(tmp_path):
    release = write_release(tmp_path / "raw")
    folder = miniature.write_features(tmp_path / "features")
    with pytest.raises(InputError, match="holds features and no synthetic.json"):
        make_features(release, folder, LOUD)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("signal_to_noise", "-1"),
        ("signal_to_noise", "nan"),
        ("signal_to_noise", "1e9"),
        ("seed", "-1"),
        ("width", "0"),
        ("interval", "0"),
        ("seed", "one"),
    ],
)
def test_a_bad_option_is_refused_in_one_line(tmp_path, capsys, option, value):
    release = write_release(tmp_path / "raw")
    where = ["--data_dir", str(release), "--out", str(tmp_path / "made")]
    assert synthetic.main(["mtvr_loo", *where, f"--{option}={value}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert f"--{option}" in said
    assert not (tmp_path / "made").exists()


def test_the_command_makes_them(tmp_path, capsys):
    release = write_release(tmp_path / "raw")
    where = ["--data_dir", str(release), "--out", str(tmp_path / "made")]
    for verb in ("made", "up to date"):
        assert synthetic.main(["mtvr_loo", *where, "--width", "5"]) == 0
        said = capsys.readouterr().out
        assert said.endswith(f"synthetic features of 10 videos, {verb}\n")


def test_a_release_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        make_features(tmp_path, tmp_path / "made", LOUD)


def test_a_query_in_one_language_is_refused(tmp_path):
    release = write_release(tmp_path / "raw", {(1, 1): {"en": "bad"}})
    with pytest.raises(InputError, match="descs: desc_id 6 has no zh"):
        make_features(release, tmp_path / "made", LOUD)


def test_shows_are_told_by_the_beginning_of_a_name():
    assert show_of("castle_s01e02_seg02_04") == "castle"
    assert show_of("s01e02_seg02_04") == show_of("v7") == ""
