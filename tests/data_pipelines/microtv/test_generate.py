import json
import shutil
from collections import Counter

import numpy as np
import pytest

from data_pipelines.features.reader import read_frames
from data_pipelines.microtv.__main__ import main
from data_pipelines.microtv.facts import FIELDS
from data_pipelines.microtv.generate import OutputError, generate

LANGUAGES = ("en", "zh", "ko")
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("microtv")
    generate(folder, num_videos=10, seed=7)
    return folder


def rows(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def annotations(folder, dataset):
    return {s: rows(folder, f"annotations/{dataset}_{s}.jsonl") for s in SPLITS}


def text_files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".mp4"
    }


def test_the_manifest_says_what_is_there(corpus):
    manifest = json.loads((corpus / "manifest.json").read_text())
    assert (manifest["format"], manifest["dataset"]) == (1, "microtv")
    assert (manifest["seed"], manifest["num_videos"]) == (7, 10)
    assert manifest["languages"] == list(LANGUAGES)
    assert manifest["names"] == []
    names = [name for split in SPLITS for name in manifest["splits"][split]]
    assert len(set(names)) == 10
    assert {p.stem for p in (corpus / "videos").iterdir()} == set(names)
    assert {p.name for p in (corpus / "subtitles").iterdir()} == {
        f"{name}.{language}.srt" for name in names for language in LANGUAGES
    }
    video = {"fps": 4, "width": 64, "height": 64, "codec": "mpeg4"}
    assert manifest["video"] == video


def test_videos_last_as_long_as_the_log_says(corpus):
    for line in rows(corpus, "events.jsonl"):
        frames, duration = read_frames(corpus / "videos" / f"{line['vid_name']}.mp4", 2)
        assert duration == pytest.approx(line["duration"])
        assert frames.shape[1:] == (64, 64, 3)


def test_subtitles_of_all_languages_run_in_step(corpus):
    name = rows(corpus, "events.jsonl")[0]["vid_name"]
    stamps = []
    for language in LANGUAGES:
        text = (corpus / "subtitles" / f"{name}.{language}.srt").read_text()
        cues = [cue.split("\n") for cue in text.strip().split("\n\n")]
        assert [cue[0] for cue in cues] == [str(i + 1) for i in range(len(cues))]
        assert all(len(cue) == 3 for cue in cues)
        stamps.append([cue[1] for cue in cues])
    assert stamps[0] == stamps[1] == stamps[2]
    assert stamps[0][0].startswith("00:00:00,250 --> 00:00:0")


def test_tvr_lines_ask_for_moments_of_the_log(corpus):
    scenes = {
        scene["desc_id"]: (line, scene)
        for line in rows(corpus, "events.jsonl")
        for scene in line["scenes"]
    }
    queries = [row for part in annotations(corpus, "tvr").values() for row in part]
    assert Counter(row["desc_id"] for row in queries) == dict.fromkeys(scenes, 1)
    for row in queries:
        line, scene = scenes[row["desc_id"]]
        assert row["vid_name"] == line["vid_name"]
        assert row["duration"] == line["duration"]
        assert row["type"] == scene["kind"]
        assert scene["start"] <= row["ts"][0] < row["ts"][1] <= scene["end"]
        assert tuple(row["descs"]) == LANGUAGES
        assert scene["facts"].keys() == FIELDS.keys()


def test_splits_are_by_video(corpus):
    splits = json.loads((corpus / "manifest.json").read_text())["splits"]
    for dataset in ("tvr", "tvqa", "violin", "tvc"):
        for split, part in annotations(corpus, dataset).items():
            assert {row["vid_name"] for row in part} == set(splits[split])


def test_a_tvqa_line_has_five_answers_and_one_is_true(corpus):
    lines = {line["vid_name"]: line for line in rows(corpus, "events.jsonl")}
    for part in annotations(corpus, "tvqa").values():
        for row in part:
            start, end = map(float, row["ts"].split("-"))
            scene = next(
                s
                for s in lines[row["vid_name"]]["scenes"]
                if s["start"] <= start and end <= s["end"]
            )
            field = "object" if scene["kind"] == "v" else "day"
            answers = [row[f"a{i}"]["en"].lower() for i in range(5)]
            is_true = [scene["facts"][field] in answer for answer in answers]
            assert is_true == [i == row["answer_idx"] for i in range(5)]
            assert set(row["q"]) == set(LANGUAGES)


def test_violin_statements_come_in_pairs_one_of_them_true(corpus):
    for part in annotations(corpus, "violin").values():
        pairs = Counter(row["paired_id"].rsplit("-", 1)[0] for row in part)
        assert set(pairs.values()) == {2}
        for row in part:
            assert row["paired_id"].endswith(f"-{row['answer']}")
            assert set(row["statement"]) == set(LANGUAGES)
        ids = [row["example_id"] for row in part]
        assert len(set(ids)) == len(ids)


def test_tvc_moments_have_two_captions_in_training_and_four_elsewhere(corpus):
    for split, part in annotations(corpus, "tvc").items():
        queries = {row["desc_id"]: row for row in annotations(corpus, "tvr")[split]}
        for row in part:
            query = queries[row["clip_id"]]
            assert row["ts"] == query["ts"]
            assert len(row["descs"]) == (2 if split == "train" else 4)
            assert row["descs"][0]["desc"] == query["descs"]
            origins = [caption["from_retrieval"] for caption in row["descs"]]
            assert origins == [True] + [False] * (len(origins) - 1)


def test_the_number_of_processes_changes_nothing(corpus, tmp_path):
    generate(tmp_path, num_videos=10, seed=7, workers=2)
    assert text_files(tmp_path) == text_files(corpus)
    for path in sorted((corpus / "videos").iterdir()):
        mine, _ = read_frames(path, 0.25)
        theirs, _ = read_frames(tmp_path / "videos" / path.name, 0.25)
        np.testing.assert_array_equal(mine, theirs)


def test_another_seed_makes_other_texts_and_videos(corpus, tmp_path):
    generate(tmp_path, num_videos=5, seed=8)
    name = "microtv_00000"
    log = rows(tmp_path, "events.jsonl")[0]["scenes"]
    assert log != rows(corpus, "events.jsonl")[0]["scenes"]
    frames = [
        read_frames(f / "videos" / f"{name}.mp4", 5)[0] for f in (corpus, tmp_path)
    ]
    assert not np.array_equal(frames[0][:8], frames[1][:8])


def test_a_complete_corpus_is_left_as_it_is(corpus):
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    generate(corpus, num_videos=10, seed=7)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"num_videos": 10, "seed": 8}, "seed is 7, asked for 8"),
        ({"num_videos": 11, "seed": 7}, "num_videos is 10, asked for 11"),
    ],
)
def test_a_folder_with_another_corpus_is_refused(corpus, wanted, message):
    with pytest.raises(OutputError, match=f"manifest.json: {message}"):
        generate(corpus, **wanted)


@pytest.mark.parametrize("content", ["", "[]", '{"seed": 7}'])
def test_a_damaged_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(OutputError, match=r"manifest\.json: "):
        generate(tmp_path, num_videos=10, seed=7)


def test_an_interrupted_corpus_is_made_again(corpus, tmp_path):
    folder = tmp_path / "c"
    shutil.copytree(corpus, folder)
    (folder / "manifest.json").unlink()
    (folder / ".microtv-unfinished").touch()
    (folder / "videos" / "microtv_00003.mp4").write_bytes(b"cut off")
    (folder / "videos" / "microtv_00099.mp4").touch()
    generate(folder, num_videos=10, seed=7)
    assert text_files(folder) == text_files(corpus)
    assert len(list((folder / "videos").iterdir())) == 10
    assert read_frames(folder / "videos" / "microtv_00003.mp4", 5)


def test_somebody_elses_videos_are_never_removed(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "holiday.mp4").touch()
    with pytest.raises(OutputError, match="holds videos but no manifest"):
        generate(tmp_path, num_videos=5, seed=0)
    assert (tmp_path / "videos" / "holiday.mp4").exists()


@pytest.mark.parametrize("options", [["--videos", "3"], ["--seed", "-1"]])
def test_the_command_answers_a_mistake_in_one_line(tmp_path, capsys, options):
    assert main(["--out", str(tmp_path / "new"), *options]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()
