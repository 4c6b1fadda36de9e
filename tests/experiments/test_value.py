"""VALUE: official mixtures, a short run of several tasks, what is handed in."""

import dataclasses
import json
import zipfile

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.convert_db import convert_db
from experiments import two_streams, value
from experiments.value_recipes import RECIPES
from experiments.value_results import cell_of, handed_in
from hero_jax.errors import UserError
from hero_jax.mixture import Mixture
from hero_jax.model.transformer import TransformerConfig
from tests.data_pipelines import (
    captioned_releases,
    judged_releases,
    retrieved_releases,
)
from tests.data_pipelines import official_databases as databases

BATCHES = {
    "tvr": 32, "how2r": 32, "yc2r": 48, "vatex_en_r": 64, "tvqa": 4, "how2qa": 4,
    "violin": 4, "vlep": 4, "tvc": 4, "yc2c": 16, "vatex_en_c": 128,
}  # fmt: skip
"""In a batch of one GPU (D.8)."""
TINY = {
    "model": "small",
    "width": 8,
    "reference_gpus": 1,
    "batch_sizes": dict.fromkeys(BATCHES, 2),
    "accumulation": 1,
    "warmup_steps": 1,
    "eval_every": 100,
}


META = {"BOS": 0, "SEP": 2, "PAD": 1, "v_range": [4, 97]}


def options(folder, run_dir, **changes):
    return value.Value(run_dir=run_dir, data_dir=folder, **changes)


@pytest.mark.parametrize("channels", ["both", "video", "subtitles"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_task_has_its_official_batch_ratio_and_limits(recipe, channels, tmp_path):
    config = options(tmp_path, tmp_path, recipe=recipe, channels=channels)
    longest, context = (120 if recipe == "qa" else 60), int(recipe == "captions")
    for name in config.chosen:
        task = value.make_task(config, name, tmp_path / "tokenizer.json")
        assert task.batch_size == 8 * BATCHES[name]
        assert task.weight == RECIPES[recipe].ratios[name]
        assert task.context == context
        assert task.source.channels == channels
        if name in value.value.GROUPS["retrieval"]:
            ranking = task.objective
            assert (ranking.context_weight, ranking.query_weight) == (8, 8)
            assert ranking.hard_pool_size == 20 and ranking.reference_gpus == 8
            assert task.longest_query == longest
            assert task.rules.nms_threshold is None
        if name in value.value.GROUPS["qa"]:
            assert task.max_text_tokens == longest
        if name == "violin":
            assert task.is_answer_head and not task.is_paired


@pytest.mark.parametrize(
    ("recipe", "rate", "steps", "warmup", "accumulation", "multiplier", "hard"),
    [
        ("all", 1e-4, 50_000, 5_000, 2, 1, 20_000),
        ("retrieval", 1e-4, 10_000, 1_000, 2, 1, 4_000),
        ("qa", 5e-5, 20_000, 2_000, 2, 10, None),
        ("captions", 1e-4, 30_000, 3_000, 1, 10, None),
        ("tv", 1e-4, 20_000, 2_000, 2, 1, 8_000),
        ("youtube", 1e-4, 10_000, 1_000, 2, 1, 4_000),
    ],
)
def test_the_recipes_are_official(
    recipe, rate, steps, warmup, accumulation, multiplier, hard
):
    found = RECIPES[recipe]
    assert found.learning_rate == rate
    assert (found.steps, found.warmup_steps) == (steps, warmup)
    assert (found.accumulation, found.head_multiplier) == (accumulation, multiplier)
    assert found.hard_start_step == hard


def test_tasks_are_drawn_by_their_ratios():
    """34 draws of all tasks: those of the recipe, in every block."""
    ratios = RECIPES["all"].ratios
    mixture = Mixture(ratios, 0)
    drawn = [mixture.at(step)[0] for step in range(34)]
    assert {name: drawn.count(name) for name in ratios} == ratios


def test_value_validates_some_tasks_on_other_splits(tmp_path):
    config = options(tmp_path, tmp_path)
    found = {name: config.split_of(name) for name in config.chosen}
    others = {"violin": "test", "vatex_en_c": "test_public", "vlep": "dev"}
    assert found == dict.fromkeys(config.chosen, "val") | others
    for changes in ({"split": "test"}, {"dataset": "microtv"}):
        changed = dataclasses.replace(config, **changes)
        assert {changed.split_of(n) for n in changed.chosen} == {changed.split}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"recipe": "qa", "tasks": ("tvr",)}, "--tasks: tvr is not of recipe qa"),
        ({"ratios": {"tvr": 0}}, "--ratios: tvr: found 0"),
        ({"batch_sizes": {"tv": 3}}, "--batch_sizes: tv is not of recipe all"),
        ({"steps": 0}, "--steps: found 0"),
        ({"video_indices": {"tvqa": "x"}}, "--video_indices: tvqa numbers no videos"),
        ({"channels": "subtitles", "fusion": "add"}, "--fusion add needs frames"),
    ],
)
def test_what_cannot_work_is_refused_by_name(changes, problem, tmp_path):
    with pytest.raises(UserError) as error:
        value.run(options(tmp_path, tmp_path / "run", **changes))
    assert problem in str(error.value)


def test_captions_are_handed_in_under_their_own_names(tmp_path):
    task = value.make_task(options(tmp_path, tmp_path), "tvc", tmp_path)
    row = {"vid_name": "v", "clip_id": 3, "ts": [0, 1], "descs": [{"desc": "a"}]}
    found = handed_in(task, json.dumps(row) + "\n")
    expected = {"video_id": "v", "clip_id": 3, "descs": [{"desc": "a"}]}
    assert [json.loads(line) for line in found.splitlines()] == [expected]


# --- runs ---------------------------------------------------------------------------

WRITERS = {
    "tvr": retrieved_releases.write_tvr,
    "yc2r": retrieved_releases.write_yc2r,
    "tvqa": judged_releases.write_tvqa,
    "violin": judged_releases.write_violin,
    "tvc": captioned_releases.write_tvc,
}


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("value")
    features = root / "features"
    features.mkdir()
    rng = np.random.default_rng(0)
    names = {f"v{n}" for n in range(5)} | {f"v{n}_{n % 2}" for n in range(12)}
    for name in names:
        frames = rng.standard_normal((8, 16)).astype(np.float32)
        np.savez(features / f"{name}.npz", features=frames)
    for name, write in WRITERS.items():
        release = write(root / "raw" / name)
        build_dataset(name, data_dir=release, out=root / "dataset", features=features)
    return root / "dataset"


def test_one_model_learns_two_tasks_and_hands_each_in(datasets, tmp_path, capsys):
    config = options(
        datasets,
        tmp_path,
        tasks=("yc2r", "tvqa"),
        ratios={"yc2r": 1, "tvqa": 1},
        channels="video",
        steps=2,
        **TINY,
    )
    results = value.run(config)
    assert {name: set(row["en"]) for name, row in results.items()} == {
        "yc2r": {"none"},
        "tvqa": {"none"},
    }
    said = json.loads((tmp_path / "results.json").read_text())
    assert set(said["scores"]) == {"yc2r", "tvqa"}
    assert "official_mean" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {"yc2r/val.json", "tvqa/val.json"}
    videos = json.loads(files["yc2r/val.json"])
    assert set(videos) == {"VR"}
    assert sorted(videos["VR"][0]["predictions"]) == [106, 107, 108]
    assert set(json.loads(files["tvqa/val.json"]).values()) <= set(range(5))


def videos_in(archive, name):
    with zipfile.ZipFile(archive) as opened:
        content = json.loads(opened.read(name))
    return sorted(content["VR"][0]["predictions"])


def test_videos_are_handed_in_by_the_numbers_of_the_release(datasets, tmp_path):
    """By those of the table that is named; two streams by those of the first."""
    table = datasets.parent / "raw/tvr/tvr_video2dur_idx.json"
    other = tmp_path / "other.json"
    other.write_text(table.read_text().replace("10", "60"))
    config = options(
        datasets, tmp_path / "run", tasks=("tvr",), ratios={"tvr": 1}, steps=1,
        channels="video", video_indices={"tvr": other}, **TINY,
    )  # fmt: skip
    value.run(config)
    assert videos_in(tmp_path / "run/submission.zip", "tvr/val.json") == [606, 607, 608]
    both = two_streams.TwoStreams(
        video=tmp_path / "run", subtitles=tmp_path / "run", run_dir=tmp_path / "both"
    )
    expected = {
        (): [606, 607, 608],
        (("tvr", table),): [106, 107, 108],
    }
    for tables, numbers in expected.items():
        two_streams.run(dataclasses.replace(both, video_indices=dict(tables)))
        assert videos_in(tmp_path / "both/submission.zip", "tvr/val.json") == numbers
    check_tables_are_refused(both, tmp_path)


def check_tables_are_refused(both, tmp_path):
    """Before anything is searched."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"val": {"v6_0": [12, 4]}}))
    for tables, problem in (
        ({"how2r": wrong}, "--video_indices: how2r is not a retrieval task of both"),
        ({"tvr": wrong}, "wrong.json: val: has no v7_1, one of the 3 videos"),
    ):
        with pytest.raises(ValueError, match=problem):
            two_streams.run(dataclasses.replace(both, video_indices=tables))


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """What `hero-jax convert-db` makes of VALUE's databases of YouTube."""
    root = tmp_path_factory.mktemp("converted")
    counts = {"train": 6, "val": 3, "test_public": 2}
    for corpus, dataset in (("yc2", "yc2r"), ("vatex", "vatex_en_r")):
        videos = {
            split: [f"{split}{n}_0" for n in range(k)] for split, k in counts.items()
        }
        everything = [video for ones in videos.values() for video in ones]
        spoken = {v: databases.dialogue(("hi", 0, 3), num_frames=4) for v in everything}
        databases.write_texts(
            root / f"db/txt_db/{corpus}_subtitles.db", spoken, meta=META
        )
        for split, ones in videos.items():
            asked = {
                str(10 * n + i): {"desc": f"cut {i}", "vid": video, "input_ids": [7, i]}
                for n, video in enumerate(ones)
                for i in range(2)
            }
            databases.write_texts(root / f"db/txt_db/{dataset}_{split}.db", asked)
        frames = databases.frames_value(np.ones((4, 8), np.float32))
        folder = root / f"db/video_db/{corpus}/resnet_slowfast_1.5"
        databases.write_lmdb(folder, dict.fromkeys(everything, frames))
    list(convert_db(root / "db", root / "out"))
    return root / "out"


@pytest.mark.parametrize("recipe", ["all", "captions", "youtube"])
def test_captions_are_those_of_converted_databases(recipe, converted, tmp_path):
    config = options(
        converted, tmp_path, recipe=recipe, tasks=("yc2c", "vatex_en_c"), **TINY
    )
    whole = value.train_config(config, value.make_tokenizer(config))
    read = {name: task.source.dataset for name, task in whole.tasks.items()}
    assert read == {"yc2c": "yc2r", "vatex_en_c": "vatex_en_r"}
    learned = {
        n: len(task.examples(task.train_split)) for n, task in whole.tasks.items()
    }
    assert learned == {"yc2c": 2 * 6, "vatex_en_c": 2 * (6 + 3)}
    for name, task in whole.tasks.items():
        moments = task.source.open(config.split_of(name)).corpus.captions
        assert [len(moment.captions) for moment in moments] == [2] * len(moments)


def test_one_corpus_for_all_tasks_divides_as_it_does(tmp_path):
    for changes, split in (({}, "train+val"), ({"dataset": "microtv"}, "train")):
        config = options(tmp_path, tmp_path, **changes)
        assert config.experiment("vatex_en_c").train_split == split
        assert config.experiment("yc2c").train_split == "train"


@pytest.mark.slow
def test_one_model_learns_three_kinds_of_tasks_and_hands_each_in(
    datasets, tmp_path, capsys
):
    config = options(
        datasets,
        tmp_path,
        tasks=("tvr", "tvqa", "tvc"),
        ratios={"tvr": 1, "tvqa": 1, "tvc": 1},
        steps=3,
        **TINY,
    )
    results = value.run(config)
    assert set(results) == {"tvr", "tvqa", "tvc"}
    said = json.loads((tmp_path / "results.json").read_text())
    assert set(said["scores"]) == {"tvr", "tvqa", "tvc"}
    assert "official_mean" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "submission.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {"tvr/val.json", "tvqa/val.json", "tvc/val.jsonl"}
    moments = json.loads(files["tvr/val.json"])
    assert set(moments) == {"VCMR", "VR"}
    assert len(moments["VCMR"][0]["predictions"][0]) == 4
    assert sorted(moments["VR"][0]["predictions"]) == [106, 107, 108]
    assert set(json.loads(files["tvqa/val.json"]).values()) <= set(range(5))
    lines = [json.loads(line) for line in files["tvc/val.jsonl"].splitlines()]
    assert {frozenset(line) for line in lines} == {
        frozenset({"video_id", "clip_id", "descs"})
    }


def test_a_variant_of_one_channel_is_one_option(datasets, tmp_path):
    """Shapes alone: what the parameters are, not what they learn."""
    config = options(
        datasets, tmp_path, tasks=("yc2r", "violin"), fusion="sequence", **TINY
    )
    tokenizer = value.make_tokenizer(config)
    whole = value.train_config(config, tokenizer)
    assert whole.model.fusion == "sequence" and whole.model.decoder is None
    assert all(task.source.reads_every_line for task in whole.tasks.values())
    assert whole.eval_splits == {"yc2r": "val", "violin": "test"}
    assert isinstance(whole.model.temporal, TransformerConfig)
    with_captions = dataclasses.replace(config, tasks=("tvc", "tvqa"))
    assert value.train_config(with_captions, tokenizer).model.decoder.num_layers == 2


def learn(datasets, run_dir, **changes):
    """Six training videos by heart, by one model."""
    tasks = ("tvr", "tvqa", "violin", "tvc")
    config = options(
        datasets,
        run_dir,
        tasks=tasks,
        ratios=dict.fromkeys(tasks, 1),
        split="train",
        learning_rate=5e-3,
        **(TINY | {"width": 32, "eval_every": 240, "steps": 240} | changes),
    )
    every_step = lambda *given, real=value.train_config: dataclasses.replace(
        real(*given), log_every=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value, "train_config", every_step)
        results = value.run(config)
    log = run_dir / "value/metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    for name in config.chosen:
        losses = [line[f"{name}/loss"] for line in lines if f"{name}/loss" in line]
        third = len(losses) // 3
        assert np.mean(losses[-third:]) < np.mean(losses[:third]), name
    return results


def check_learnt(results):
    for name, row in results.items():
        cell = cell_of(row)
        assert value.value.score(name, cell) > 0, name
    cell = cell_of(results["tvqa"])
    assert cell["accuracy"] > cell["chance"]["accuracy"]


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["local", "add", "concat", "sequence"])
def test_every_variant_learns_every_kind_of_task(fusion, datasets, tmp_path):
    check_learnt(learn(datasets, tmp_path, fusion=fusion))


@pytest.mark.slow
def test_two_streams_answer_together(datasets, tmp_path):
    runs = {}
    for channels in ("video", "subtitles"):
        runs[channels] = tmp_path / channels
        check_learnt(learn(datasets, runs[channels], channels=channels))
    config = two_streams.TwoStreams(
        video=runs["video"], subtitles=runs["subtitles"], run_dir=tmp_path / "both"
    )
    results = two_streams.run(config)
    assert all(set(row["en"]) == {"en"} for row in results.values())
    check_learnt(results)
    with zipfile.ZipFile(tmp_path / "both/submission.zip") as archive:
        assert len(archive.namelist()) == 4


@pytest.mark.slow
def test_a_stream_with_itself_is_the_stream(datasets, tmp_path):
    alone = learn(datasets, tmp_path, channels="video")
    config = two_streams.TwoStreams(
        video=tmp_path, subtitles=tmp_path, run_dir=tmp_path / "both", split="train"
    )
    together = two_streams.run(config)
    for name, row in alone.items():
        one, both = row["en"]["none"], together[name]["en"]["none"]
        assert value.value.score(name, both) == value.value.score(name, one), name
