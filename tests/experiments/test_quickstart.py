"""The whole system at a few videos and steps; the full claims by name (`-m slow`)."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import hero_jax
from data_pipelines.build import build_dataset
from data_pipelines.microtv.generate import generate
from experiments.common import with_earlier
from experiments.quickstart import (
    Quickstart,
    batch_size,
    prepare,
    run,
    source_of,
    train_config,
)
from hero_jax import report
from hero_jax.checkpoint import RunLock
from hero_jax.errors import BusyError, UserError
from hero_jax.mixture import Mixture
from hero_jax.pipeline import Pipeline
from hero_jax.sharding import MeshConfig

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("en", "zh", "ko")


def tiny(run_dir, **changes):
    config = Quickstart(
        run_dir=run_dir,
        videos=30,
        steps=3,
        batch_size=6,
        objectives=("vsm", "info_nce"),
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("quickstart")
    run(tiny(run_dir))
    return run_dir


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """A corpus whose training split has a whole block of four batches of 32."""
    config = Quickstart(run_dir=tmp_path_factory.mktemp("rendered"), videos=190)
    return train_config(config, prepare(config)[0], "vsm").tasks


FULL_ROWS = [(name, 64, 12) for name in ("mlm", "moments")] + [
    pytest.param(name, length, 100, marks=pytest.mark.slow)
    for name in ("mlm", "mfm", "fom", "moments")
    for length in (64, 128)
]


@pytest.mark.parametrize(("name", "row_length", "num_batches"), FULL_ROWS)
def test_rows_are_at_least_95_percent_full(rendered, name, row_length, num_batches):
    """C4 on microtv: real slots / (rows x L) with the tasks that are trained."""
    task = rendered[name]
    source = dataclasses.replace(task.source, row_length=row_length)
    full = Pipeline(dataclasses.replace(task, source=source), name=name, seed=0)
    fills = [full.task.fill(full.batch(k)) for k in range(num_batches)]
    assert np.mean(fills) >= 0.95


def test_results_have_every_cell_and_every_number(finished):
    results, meta = report.read_results(finished / "results.json")
    assert set(results) == {"vsm", "info_nce"}
    for objective, matrix in results.items():
        assert tuple(matrix) == LANGUAGES
        for row in matrix.values():
            assert tuple(row) == (*LANGUAGES, "none")
            for cell in row.values():
                assert set(cell["VR"]) == {"R@1", "R@5", "R@10", "R@100", "MedR", "MRR"}
                assert cell["num_queries"] == 5 * cell["num_videos"] == 30
                assert set(cell["by_type"]) == {"v", "t", "vt"}
                assert cell["chance"]["VR"]["R@1"] == pytest.approx(100 / 6)
                has_local = objective == "vsm"
                assert (cell["SVMR"] is not None) == has_local
                assert (cell["VCMR"] is not None) == has_local
    assert {"seed", "versions", "command", "seconds"} <= set(meta)


def test_a_run_leaves_the_promised_files(finished):
    for objective in ("vsm", "info_nce"):
        folder = finished / objective
        assert (folder / "config.json").is_file()
        assert len((folder / "metrics.jsonl").read_text().splitlines()) >= 1
        assert any((folder / "checkpoints").iterdir())
        predictions = sorted(p.name for p in (folder / "predictions").iterdir())
        assert len(predictions) == 12
        content = json.loads((folder / "predictions" / predictions[0]).read_text())
        assert set(content) >= {"video2idx", "VR"}
    page = (finished / "report.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page)


def test_objectives_begin_with_the_same_parameters_and_see_the_same_batches(finished):
    first, second = (
        json.loads((finished / name / "config.json").read_text())
        for name in ("vsm", "info_nce")
    )
    for config in (first, second):
        moments = config["tasks"]["moments"]
        del moments["objective"], moments["span"]
    assert first == second


def test_the_same_call_goes_on_and_finds_the_work_done(finished):
    before = (finished / "vsm" / "metrics.jsonl").read_bytes()
    again = run(tiny(finished))
    assert (finished / "vsm" / "metrics.jsonl").read_bytes() == before
    results, _ = report.read_results(finished / "results.json")
    assert report.plain(again) == results


def test_search_answers_in_every_language(finished):
    searcher = hero_jax.load(finished)
    for text in ("Henry in the garden", "亨利在花园里", "정원에 있는 헨리"):
        answers = searcher.search(text, k=4)
        assert len(answers) == 4
        scores = [answer.score for answer in answers]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= a.start < a.end for a in answers)
    whole = hero_jax.load(finished / "info_nce").search("Henry", k=2, subtitles="none")
    assert [a.start for a in whole] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("query", "options", "complaint"),
    [
        ("  ", {}, "query: found"),
        ("Henry", {"k": 0}, "k: found 0"),
        ("Henry", {"subtitles": "fr"}, "subtitles: found 'fr'.*en, zh, ko, none"),
    ],
)
def test_a_search_that_cannot_be_answered_says_why(finished, query, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        hero_jax.load(finished).search(query, **options)


def test_the_command_line_prints_json(finished):
    done = command("hero_jax.cli", "search", finished, "Henry", "--k", "2", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [set(row) for row in rows] == [{"video", "start", "end", "score"}] * 2


def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(tmp_path):
    done = command("hero_jax.cli", "search", tmp_path, "Henry")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "config.json" in done.stderr


def test_another_seed_in_the_same_directory_is_refused_by_name(finished):
    with pytest.raises(ValueError, match="seed"):
        run(tiny(finished, seed=1))


def test_fewer_steps_than_were_made_are_refused(finished):
    with pytest.raises(UserError, match="found 2, but this run has made 3"):
        run(tiny(finished, steps=2))


def test_other_data_in_the_same_directory_is_refused(finished, tmp_path):
    generate(tmp_path / "other", num_videos=20, seed=5)
    before = (finished / "dataset/microtv/corpus.json").read_bytes()
    with pytest.raises(ValueError, match="built from other data"):
        run(tiny(finished, data_dir=tmp_path / "other"))
    assert (finished / "dataset/microtv/corpus.json").read_bytes() == before


def test_a_directory_in_use_is_left_alone(finished):
    with RunLock(finished), pytest.raises(BusyError, match="is at work here"):
        run(tiny(finished))


def test_results_of_earlier_calls_stay_if_they_came_about_alike(tmp_path):
    path = tmp_path / "results.json"
    facts = {"seed": 0, "steps": 3}
    report.write_results(path, {"vsm": {"en": {}}}, facts)
    both = with_earlier(path, {"info_nce": {}}, facts)
    assert both == {"vsm": {"en": {}}, "info_nce": {}}
    assert with_earlier(path, {"info_nce": {}}, facts | {"steps": 4}) == {
        "info_nce": {}
    }


def test_a_run_is_searched_where_it_was_moved_to_but_not_with_other_data(
    finished, tmp_path
):
    moved = shutil.copytree(finished, tmp_path / "moved")
    assert hero_jax.load(moved).source.directory == moved / "dataset"
    assert hero_jax.load(moved).search("Henry", k=1)
    generate(tmp_path / "other", num_videos=20, seed=5)
    build_dataset("microtv", data_dir=tmp_path / "other", out=moved / "dataset")
    with pytest.raises(UserError, match=r"tasks\.\w+\.num_videos: this run began with"):
        hero_jax.load(moved)


def test_no_objective_and_no_steps_are_refused(tmp_path):
    with pytest.raises(UserError, match="--objectives"):
        run(tiny(tmp_path, objectives=()))
    with pytest.raises(UserError, match="--steps"):
        run(tiny(tmp_path, steps=0))


def test_a_batch_is_no_larger_than_the_corpus_and_fits_the_mesh(finished):
    source = source_of(tiny(finished))
    fits = lambda **changes: batch_size(tiny(finished, **changes), source)
    assert fits() == 6
    assert fits(batch_size=32) == len(source.open("train")) == 21
    assert fits(batch_size=32, mesh=MeshConfig(data=4)) == 20
    assert fits(batch_size=1, mesh=MeshConfig(data=4)) == 4


def test_a_mesh_of_more_devices_than_there_are_is_refused_first(tmp_path):
    with pytest.raises(UserError, match="there are 8 devices"):
        run(tiny(tmp_path, mesh=MeshConfig(data=9)))
    assert not (tmp_path / "data").exists()


def test_every_objective_of_hero_is_trained_beside_retrieval(finished):
    tasks = train_config(tiny(finished), source_of(tiny(finished)), "vsm").tasks
    mixture = Mixture({name: task.weight for name, task in tasks.items()}, seed=0)
    drawn = [mixture.at(step)[0] for step in range(70)]
    counts = {name: drawn.count(name) for name in tasks}
    assert counts == {"mlm": 4, "mfm": 4, "fom": 2, "moments": 60}


def command(module, *arguments):
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_cell_with_subtitles_is_three_times_chance(tmp_path, seed):
    results = run(Quickstart(run_dir=tmp_path, seed=seed))
    for matrix in results.values():
        for row in matrix.values():
            for subtitles, cell in row.items():
                assert cell["num_videos"] >= 100
                if subtitles != "none":
                    assert cell["VR"]["MRR"] >= 3 * cell["chance"]["VR"]["MRR"]


@pytest.mark.slow
def test_killed_again_and_again_it_ends_as_if_nothing_had_been(tmp_path, finished):
    arguments = [
        "--run_dir", tmp_path, "--videos", 30, "--steps", 3, "--batch_size", 6,
        "--objectives", "vsm", "info_nce",
    ]  # fmt: skip
    call = [sys.executable, "-m", "experiments.quickstart", *map(str, arguments)]
    for seconds in (2, 5, 9, 14, 20, 27, 35):
        child = subprocess.Popen(call, cwd=ROOT, start_new_session=True)
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    subprocess.run(call, cwd=ROOT, check=True, timeout=600)
    ended, _ = report.read_results(tmp_path / "results.json")
    expected, _ = report.read_results(finished / "results.json")
    assert ended == expected
