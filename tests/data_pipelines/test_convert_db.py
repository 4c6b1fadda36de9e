import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.convert_db import convert_db, main
from data_pipelines.corpus import open_corpus
from data_pipelines.readers import lmdb
from data_pipelines.readers.errors import InputError
from data_pipelines.schema import Caption, CaptionedMoment, Question, Statement
from tests.data_pipelines.official_databases import (
    dialogue,
    frames_value,
    write_lmdb,
    write_texts,
)

GOLDEN = Path(__file__).resolve().parents[1] / "golden/data/db"
NUM_FRAMES = {"v1": 4, "v2": 6, "v3": 5}
META = {"BOS": 0, "SEP": 2, "PAD": 1, "v_range": [4, 97], "frame_length": 2}


def frames(video, count):
    return np.full((count, 3), int(video[1:]), np.float32)


@pytest.fixture
def source(tmp_path):
    """What is said in three videos of how2, and their features."""
    folder = tmp_path / "db"
    lines = {
        "v1": [("HI", 0.0, 2.5), ("there", 2.5, 4)],
        "v2": [("so", 1, 3)],
        "v3": [],
    }
    write_texts(
        folder / "txt_db/how2_subtitles.db",
        {v: dialogue(*lines[v], num_frames=n) for v, n in NUM_FRAMES.items()},
        meta=META,
        vid2dur_idx={"val": {"v2": [11.5, 0], "v1": [7.5, 1]}, "test_public": {}},
    )
    values = {v: frames_value(frames(v, n)) for v, n in NUM_FRAMES.items()}
    write_lmdb(folder / "video_db/how2/resnet_slowfast_2", values)
    return folder


def convert(source, *datasets, split="val", **options):
    out = source.parent / "out"
    built = list(convert_db(source, out, datasets=datasets, **options))
    return open_corpus(out, datasets[0], split), built[0].warnings


def query(text="ann", **fields):
    return {"desc": text, "input_ids": [7, 8], "target": None, **fields}


def write_lmdb_of(source, corpus):
    """The same features and dialogue, of another corpus."""
    shutil.copytree(source / "video_db/how2", source / f"video_db/{corpus}")
    texts = source / "txt_db"
    shutil.copytree(texts / "how2_subtitles.db", texts / f"{corpus}_subtitles.db")


def write_queries(source, name="how2r_val_1k", **records):
    records = records or {"3": query(vid="v1", target=[1, 3])}
    return write_texts(source / f"txt_db/{name}.db", records)


def test_videos_come_in_the_fixed_order_of_their_split(source):
    write_queries(source)
    corpus, warnings = convert(source, "how2r", split="val_1k")
    assert [video.video_id for video in corpus.videos] == ["v2", "v1"]
    assert [video.duration for video in corpus.videos] == [11.5, 7.5]
    assert [video.interval for video in corpus.videos] == [2, 2]
    assert [line.text for line in corpus.videos[1].subtitles["en"]] == ["HI", "there"]
    np.testing.assert_array_equal(corpus.features[0], frames("v2", 6))
    assert corpus.queries[0].moments == ((1.0, 3.0),)
    assert corpus.special_tokens == {
        "BOS": 0, "SEP": 2, "PAD": 1, "V_FIRST": 4, "V_END": 97,
    }  # fmt: skip
    tokens = {(t.kind, t.record_id): [*map(list, t.texts)] for t in corpus.tokens}
    assert tokens == {
        ("videos", "v1"): [[12], [15]],
        ("videos", "v2"): [[12]],
        ("queries", "3"): [[7, 8]],
    }
    assert any("stored alignment is not the one computed" in line for line in warnings)


def test_queries_without_ground_truth_search_the_videos_listed(source):
    write_texts(source / "txt_db/vlep_test.db", {"3": query()}, video_ids=["v3", "v1"])
    corpus, _ = convert(source, "vlep", split="test")
    assert corpus.queries[0].video_id is None
    assert [video.video_id for video in corpus.videos] == ["v1", "v3"]


def test_queries_keep_the_order_of_their_lengths(source):
    records = {key: query(vid="v1") for key in ("9", "10", "2")}
    write_texts(source / "txt_db/tvr_val.db", records, id2len={"9": 1, "10": 1, "2": 1})
    corpus, _ = convert(source, "tvr")
    assert [one.query_id for one in corpus.queries] == ["9", "10", "2"]


def test_several_people_may_have_seen_a_moment(source):
    write_queries(source, "didemo_val", a=query(vid="v1", target=[[0, 2], [2, 4]]))
    corpus, _ = convert(source, "didemo")
    assert corpus.queries[0].moments == ((0.0, 2.0), (2.0, 4.0))


def test_questions_have_any_number_of_answers_or_are_about_events(source):
    ids = {"input_ids": [[1], [2], [3]], "vid": "v1"}
    asked = {"q": "who?", "a0": "ann", "a1": "bob", "ts": "1.5-3", "target": 1}
    write_queries(source, "how2qa_val", **{"7": asked | ids})
    told = {"events": ["x", "y"], "ts": [1.5, 3], "target": None}
    write_queries(source, "vlep_val", **{"8": told | ids | {"input_ids": [[1], [2]]}})
    corpus, _ = convert(source, "how2qa")
    answers = ({"en": "ann"}, {"en": "bob"})
    assert corpus.questions == (
        Question("7", "v1", {"en": "who?"}, answers, 1, (1.5, 3.0)),
    )
    corpus, _ = convert(source, "vlep")
    answers = ({"en": "x"}, {"en": "y"})
    assert corpus.questions == (Question("8", "v1", {}, answers, None, (1.5, 3.0)),)


def test_statements_know_their_contrary_by_either_id(source):
    said = {"vid": "v1", "input_ids": [1]}
    value = {
        "1": said | {"statement": "a", "paired_id": "v1-0-1", "target": 1},
        "2": said | {"statement": "b", "paired_id": "v1-0-0", "target": 0},
    }
    write_queries(source, "violin_val", **value)
    corpus, _ = convert(source, "violin")
    assert corpus.statements == (
        Statement("1", "v1", {"en": "a"}, True, "2"),
        Statement("2", "v1", {"en": "b"}, False, "1"),
    )


def test_captions_of_whole_videos_are_the_queries(source):
    write_queries(source, "yc2r_val", a=query("cut it", vid="v1"))
    corpus, _ = convert(source, "yc2r", language="de")
    caption = Caption("a", {"de": "cut it"})
    assert corpus.captions == (CaptionedMoment("a", "v1", None, (caption,)),)
    assert corpus.languages == ("de",)


def test_what_ten_people_wrote_about_a_video_is_one_moment_with_ten_references(source):
    """F.7: one hypothesis a video, compared with all that was written about it."""
    records = {str(n): query(f"cut {n}", vid=f"v{1 + n % 2}") for n in range(20)}
    write_queries(source, "vatex_en_r_val", **records)
    write_lmdb_of(source, "vatex")
    corpus, _ = convert(source, "vatex_en_r")
    assert [(m.moment_id, m.video_id) for m in corpus.captions] == [
        ("0", "v1"),
        ("1", "v2"),
    ]
    for number, moment in enumerate(corpus.captions):
        names = [str(n) for n in range(number, 20, 2)]
        assert sorted(c.caption_id for c in moment.captions) == sorted(names)
        assert all(c.texts == {"en": f"cut {c.caption_id}"} for c in moment.captions)


def test_captions_have_the_ids_of_the_release(source):
    """Hidden ones, too; what lacks a line there is called by its video."""
    asked = {"5": query("cut it", vid="v1"), "6": query("fry it", vid="v2")}
    name = "yc2r_val"
    folder = write_queries(source, name, **asked)
    (folder / "video_ids.json").write_text('["v1", "v2", "v3"]')
    lines = [
        {"clip_id": 6, "vid_name": "v1", "duration": 6, "descs": [{"desc": "cut it"}]},
        {"clip_id": 7, "vid_name": "v3", "duration": 6},
        {"clip_id": 8, "vid_name": "v9", "duration": 6},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (source / "txt_db/yc2c_val_release.jsonl").write_text(text)
    write_lmdb_of(source, "yc2")
    corpus, warnings = convert(source, "yc2r")
    cut, fried = Caption("5", {"en": "cut it"}), Caption("6", {"en": "fry it"})
    assert corpus.captions == (
        CaptionedMoment("6", "v1", None, (cut,)),
        CaptionedMoment("7", "v3", None, ()),
        CaptionedMoment("v2", "v2", None, (fried,)),
    )
    assert any("lines about unknown videos, dropped" in line for line in warnings)


def test_videos_keep_the_numbers_by_which_the_benchmark_knows_them(source):
    write_queries(source)
    corpus, _ = convert(source, "how2r", split="val_1k")
    assert corpus.video_numbers == {"v2": 0, "v1": 1}


def test_videos_that_no_table_numbers_have_no_numbers(source):
    write_queries(source, **{"3": query(vid="v1"), "4": query(vid="v3")})
    corpus, _ = convert(source, "how2r", split="val_1k")
    assert len(corpus.videos) == 3 and corpus.video_numbers == {}


def test_the_splits_of_a_thousand_videos_are_found_by_their_usual_names(source):
    write_queries(source)
    corpus, _ = convert(source, "how2r", split="val")
    assert corpus.split == "val_1k"


def test_a_test_split_that_names_no_video_has_no_captions(source):
    write_texts(source / "txt_db/yc2r_test.db", {"a": query()}, video_ids=["v1"])
    corpus, _ = convert(source, "yc2r", split="test")
    assert len(corpus.queries) == 1 and corpus.captions == ()


def test_a_corpus_has_the_splits_of_its_pretraining(source):
    lists = source / "txt_db/pretrain_splits"
    lists.mkdir()
    (lists / "how2_train.json").write_text('["v3", "v1"]')
    (lists / "how2_val.json").write_text('["v2"]')
    corpus, _ = convert(source, "how2", split="train")
    assert [video.video_id for video in corpus.videos] == ["v3", "v1"]


@pytest.mark.parametrize("folder", ["2", "2.0", "2.00_compressed"])
@pytest.mark.parametrize("counts", ["", "_2", "_2.0"])
def test_every_spelling_of_interval_and_counts_is_read(source, folder, counts):
    videos = source / "video_db/how2"
    (videos / "resnet_slowfast_2").rename(videos / f"resnet_slowfast_{folder}")
    (videos / f"id2nframe{counts}.json").write_text('{"v1": 3, "v2": 9}')
    (videos / "id2nframe_1.5.json").write_text('{"v1": 1}')
    write_queries(source)
    corpus, warnings = convert(source, "how2r", split="val_1k")
    assert [video.num_frames for video in corpus.videos] == [6, 3]
    assert [len(one) for one in corpus.features] == [6, 3]
    assert any("fewer frames stored than counted" in line for line in warnings)


def test_features_are_chosen_by_name(source):
    wide = {v: frames_value(np.ones((n, 5), np.float16)) for v, n in NUM_FRAMES.items()}
    write_lmdb(source / "video_db/how2/clip-vit_slowfast_2", wide)
    assert convert(source, "how2", split="all")[0].feature_width == 3
    corpus, _ = convert(source, "how2", split="all", features="clip-vit_slowfast")
    assert corpus.feature_width == 5
    with pytest.raises(InputError, match="expected one of clip-vit_slowfast, res"):
        convert(source, "how2", split="all", features="slowfast")


def test_without_features_frames_are_those_that_were_aligned(source):
    shutil.rmtree(source / "video_db")
    corpus, _ = convert(source, "how2", split="all")
    assert [video.num_frames for video in corpus.videos] == [4, 6, 5]
    assert not corpus.features[0].any()


def test_videos_without_features_are_dropped_only_when_asked(source):
    write_queries(source, "how2r_val", a=query(vid="v1"), b=query(vid="v9"))
    with pytest.raises(InputError, match="v9: has no features here .pass --allow_miss"):
        convert(source, "how2r")
    corpus, warnings = convert(source, "how2r", allow_missing=True)
    assert [one.query_id for one in corpus.queries] == ["a"]
    assert any("videos without features, dropped" in line for line in warnings)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (query(vid="../v1"), "vid: '../v1' is not a plain name"),
        (query(vid="v1", target="now"), "ts: expected [start, end] in seconds, found"),
        (query(vid="v1", input_ids=["x"]), "input_ids: expected a list of token ids"),
        (query(vid="v1", input_ids=[2**40]), "input_ids: expected a list of token ids"),
        (query(7, vid="v1"), "desc: expected text, found a number 7"),
        ({"q": "who?", "a0": "x", "input_ids": []}, "vid: is missing"),
        (
            {"q": "who?", "a0": "x", "vid": "v1", "input_ids": []},
            "input_ids: has 0 lists for 2 texts",
        ),
        (
            {"q": "?", "a0": "x", "vid": "v1", "input_ids": [[], []], "target": 1},
            "target: expected a whole number from 0 to 0, found 1",
        ),
        (
            {"statement": "x", "vid": "v1", "input_ids": [], "target": 5},
            "target: expected true or false, found 5",
        ),
    ],
)
def test_a_mistake_is_named_by_record_and_field(source, record, message):
    write_queries(source, "how2r_val", a=record)
    with pytest.raises(InputError) as error:
        convert(source, "how2r")
    assert f"how2r_val.db/data.mdb[a]: {message}" in str(error.value)


def test_an_unknown_dataset_and_an_empty_folder_are_named(source, tmp_path):
    with pytest.raises(
        InputError, match="--dataset: found 'tvr', expected one of how2"
    ):
        convert(source, "tvr")
    with pytest.raises(InputError, match="found no text database such as tvr_val.db"):
        list(convert_db(source / "video_db", tmp_path / "out"))
    with pytest.raises(InputError, match="is not a directory"):
        list(convert_db(tmp_path / "nowhere", tmp_path / "out"))


def test_the_second_conversion_finds_the_first(source):
    out = source.parent / "out"
    assert [built.is_new for built in convert_db(source, out)] == [True]
    assert [built.is_new for built in convert_db(source, out)] == [False]
    changed = {v: frames_value(frames(v, 2)) for v in NUM_FRAMES}
    write_lmdb(source / "video_db/how2/resnet_slowfast_2", changed)
    assert [built.is_new for built in convert_db(source, out)] == [True]


@pytest.mark.parametrize(
    "name",
    ["txt/tv_subtitles.db", "txt/tvr_val.db", "video/tv/resnet_slowfast_1.5"],
)
@pytest.mark.parametrize("size", [0, 100, 4096, 8192, 8300])
def test_a_truncated_database_is_one_line_and_exit_code_2(tmp_path, name, size, capsys):
    shutil.copytree(GOLDEN, tmp_path / "db", copy_function=shutil.copyfile)
    file = tmp_path / "db" / name / lmdb.FILE
    file.write_bytes(file.read_bytes()[:size])
    assert main([str(tmp_path / "db"), "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "data.mdb" in lines[-1] and "(is the copy complete?)" in lines[-1]
    assert not (tmp_path / "out/tvr").exists()


def test_the_command_of_hero_jax_converts_too(source):
    command = [sys.executable, "-m", "hero_jax.cli", "convert-db", str(source)]
    done = subprocess.run(
        [*command, "--out", str(source.parent / "out"), "--datasets", "how2"],
        capture_output=True, text=True, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "how2: built in" in done.stdout
    manifest = json.loads((source.parent / "out/how2/corpus.json").read_text())
    assert manifest["splits"]["all"]["num_tokens"] == 3
