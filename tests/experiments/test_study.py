"""The study at a tiny size: every cell once, none twice, the grid declared before."""

import contextlib
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.crosslingual import answer, declared, records, rerun, study
from experiments.crosslingual.grid import (
    ARMS,
    PRESETS,
    VARIANTS,
    Cell,
    Grid,
    cells,
    tuning,
)
from experiments.crosslingual.rerun import Rerun
from experiments.crosslingual.study import Study
from hero_jax.errors import UserError
from tests.experiments.mtvr_releases import write_release

GRID_FILE = Path(__file__).parents[2] / "docs/study/grid.json"
GRID = Grid(
    arms=("vsm", "info_nce"),
    seeds=1,
    replications=(),
    evidence=(),
    translated=(),
    ingredients=("info_nce_mean", "info_nce_jsd"),
    aided=("vsm+tli", "info_nce+code_switch"),
    exploratory_seeds=1,
    steps={"mtvr_loo": 2},
    longer=2,
    longer_seeds=1,
    width=8,
    batch_size=8,
)


def test_the_published_grid_can_be_gone_on_with():
    """A field added to `Grid` must be added to the declaration, too."""
    declared.declare(GRID_FILE, PRESETS["full"])


def test_the_declared_grid_is_the_one_of_the_protocol():
    grid = Grid()
    first = tuning(grid)
    rest = cells(grid, dict.fromkeys(ARMS, 3))
    assert all(variant.of in ARMS for variant in VARIANTS.values())
    count = lambda family: sum(cell.family == family for cell in rest)
    assert len(first) == 7 * 4
    assert {cell.split for cell in first} == {"val"}
    assert count("confirmatory") == count("english_only") == 7 * 6
    assert count("replication") == 2 * 3 * 6
    assert count("longer") == 2 * 3
    assert count("ingredients") == 4 * 6
    assert count("aided") == 2 * 4 * 3
    assert count("evidence") == 3 * 3 * 3
    assert count("translated") == 2 * 2 * 3
    assert {cell.trial for cell in rest} == {3}
    names = [cell.name for cell in (*first, *rest)]
    assert len(set(names)) == len(names)
    tested = {cell.seed for cell in rest if cell.split == "test"}
    assert tested == set(range(6))
    assert grid.tuning_seed not in tested


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_counted_to_its_end(name):
    grid = PRESETS[name]
    found = cells(grid, dict.fromkeys(grid.arms, 0))
    assert {cell.corpus for cell in (*tuning(grid), *found)} <= set(grid.steps)
    assert all(cell.steps > 0 for cell in found)


def test_arms_have_equal_budgets_of_trials():
    assert {len(trials) for trials in ARMS.values()} == {4}
    for trials in ARMS.values():
        assert sorted(t.learning_rate for t in trials) == [1e-3, 1e-3, 2e-3, 2e-3]
        assert len({t.objective for t in trials}) == 2
        assert len({t.span for t in trials}) == 1


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (raw := folder / "raw").mkdir()
    config = Study(
        out=folder / "out",
        work=folder / "work",
        mtvr_loo=write_release(raw),
    )
    study.run(config, GRID)
    return config


@pytest.mark.slow
def test_every_cell_is_there_with_the_rank_of_every_query(finished):
    found = {r["cell"]["family"]: r for r in records.read_all(finished.out / "cells")}
    assert set(found) == {
        "tuning", "confirmatory", "english_only", "longer", "ingredients", "curve",
        "aided",
    }  # fmt: skip
    record = found["english_only"]
    assert str(finished.work.parent) not in json.dumps(record["config"])
    assert record["cell"]["languages"] == ["en"]
    num_queries = len(record["videos"])
    for asked in ("en", "zh"):
        for read in ("en", "zh"):
            ranks = record["ranks"][asked][read]
            assert len(ranks["VR"]) == num_queries
            assert all(1 <= rank <= num_queries for rank in ranks["VR"])
    assert found["curve"]["curve"][-1]["val/moments/en/zh/VR/MRR"] > 0


@pytest.mark.slow
def test_paired_seeds_begin_alike_and_differ_in_the_objective_alone(finished):
    one, other = (
        records.read(finished.out / "cells" / name)["config"]
        for name in sorted(p.name for p in (finished.out / "cells").iterdir())
        if name.startswith("confirmatory")
    )
    for config in (one, other):
        moments = config["tasks"]["moments"]
        del moments["objective"], moments["span"]
        del config["optimizer"]["learning_rate"]
    assert one == other


@pytest.mark.slow
def test_every_table_is_made_of_the_cells_and_controls(finished, monkeypatch):
    monkeypatch.setattr("sys.argv", ["answer", "--out", str(finished.out)])
    answer.main()
    text = (finished.out / "tables.md").read_text("utf-8")
    assert "## without a model: mtvr_loo" in text and "| words | " in text
    assert "same first answer" in text and "hardest negatives" in text


@pytest.mark.slow
def test_a_finished_study_makes_nothing_again(finished, monkeypatch):
    monkeypatch.setattr(study, "run_cell", None)
    study.run(finished, GRID)


@pytest.mark.slow
def test_a_cell_that_is_made_again_comes_out_the_same(finished, monkeypatch, capsys):
    monkeypatch.setitem(PRESETS, "small", GRID)
    fields = {f.name: getattr(finished, f.name) for f in dataclasses.fields(finished)}
    (path,) = finished.out.glob("cells/confirmatory-mtvr_loo-vsm-*")
    name = path.name.removesuffix(records.SUFFIX)
    rerun.run(Rerun(**fields | {"preset": "small"}, cell=name))
    said = capsys.readouterr().err
    assert "ranks of videos: 0 of " in said and "VR MRR across languages: was" in said
    assert not (finished.work / name).exists()


@pytest.mark.slow
def test_another_grid_is_refused(finished):
    with pytest.raises(UserError, match="found another grid"):
        study.run(finished, dataclasses.replace(GRID, seeds=2))


@pytest.mark.slow
def test_a_cell_that_another_process_makes_is_left_to_it(finished):
    cell = dataclasses.replace(tuning(GRID)[0], seed=5)
    path = finished.work / "claims" / f"{cell.name}.lock"
    with study.claimed(path) as is_mine:
        assert is_mine
        assert not study.make(finished, GRID, cell)


@pytest.mark.slow
def test_processes_that_share_devices_make_each_cell_together(tmp_path):
    """Two processes of two pretend devices each, as on the hosts of a slice."""
    (raw := tmp_path / "raw").mkdir()
    write_release(raw)
    launch = [sys.executable, "-m", "experiments.cluster.launch", "--processes", "2"]
    command = [sys.executable, "-m", "experiments.crosslingual.study"]
    options = {
        "--preset": "check", "--out": tmp_path / "out", "--work": tmp_path / "work",
        "--mtvr_loo": raw, "--mesh.data": 4,
    }  # fmt: skip
    flags = [str(part) for option in options.items() for part in option]
    subprocess.run([*launch, "--devices", "2", "--", *command, *flags], check=True)
    names = [cell.name for cell in tuning(PRESETS["check"])]
    found = {r["cell"]["family"] for r in records.read_all(tmp_path / "out/cells")}
    assert all((tmp_path / "out/cells" / f"{name}.json.gz").exists() for name in names)
    assert found == {"tuning", "confirmatory", "english_only", "longer", "curve"}


def test_a_damaged_record_is_named(tmp_path):
    path = tmp_path / "a.json.gz"
    path.write_bytes(b"damage")
    with pytest.raises(UserError, match=r"a\.json\.gz: found no record"):
        list(records.read_all(tmp_path))
    records.write(path, {"cell": {}, "ranks": list(range(999)), "videos": []})
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 255
        path.write_bytes(changed)
        with contextlib.suppress(UserError):  # some bytes of the header mean nothing
            records.read(path)


def test_what_is_given_and_is_not_there_is_refused_before_the_first_cell(tmp_path):
    config = Study(out=tmp_path, mtvr_loo=tmp_path, youcook2_loo=tmp_path / "none")
    with pytest.raises(UserError, match="--youcook2_loo: found no folder"):
        study.check(config)
    config = Study(out=tmp_path, features=tmp_path)
    with pytest.raises(UserError, match="--features: .*: found no folder named after"):
        study.check(config)
    (made := tmp_path / "mtvr_loo").mkdir()
    study.check(config)
    (made / "synthetic.json").write_text('{"is_whole": true}')
    with pytest.raises(UserError, match="mtvr_loo: found synthetic frames"):
        study.check(config)


def test_workers_divide_the_devices_that_are_named(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5")
    assert study.own_devices(0, 2) == {"CUDA_VISIBLE_DEVICES": "0,5"}
    assert study.own_devices(1, 2) == {"CUDA_VISIBLE_DEVICES": "2"}
    assert study.own_devices(1, 4) == {}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert study.own_devices(0, 1) == {}


def test_a_study_without_other_languages_is_refused():
    nothing = {"cell": {"arm": "a", "trial": 0}, "ranks": {"en": {"en": {"VR": [1]}}}}
    with pytest.raises(UserError, match="a, trial 0"):
        declared.choose([nothing])


def test_the_best_trial_across_languages_is_chosen():
    def record(arm, trial, rank):
        cell = {"arm": arm, "trial": trial}
        ranks = {"VR": [rank]}
        best = {"VR": [1]}
        matrix = {"en": {"en": best, "zh": ranks}, "zh": {"en": ranks, "zh": best}}
        return {"cell": cell, "ranks": matrix}

    tuned = [record("a", 1, 2), record("a", 0, 3), record("b", 0, 2), record("b", 1, 2)]
    assert declared.choose(tuned) == {"a": 1, "b": 0}


def test_progress_counts_the_whole_grid(tmp_path, monkeypatch, capsys):
    wanted = [Cell("longer", "mtvr_loo", "vsm", 0, s, 4) for s in range(3)]

    def make(config, grid, cell):
        row = {"en": {"VR": [1]}, "zh": {"VR": [2]}}
        ranks = {"en": row, "zh": row}
        path = records.path_of(config.out / "cells", cell.name)
        records.write(path, {"cell": {}, "videos": [0], "ranks": ranks})
        return True

    monkeypatch.setattr(study, "make", make)
    study.finish(Study(out=tmp_path), Grid(), wanted, before=5, later=2)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == ["[6/10]", "[7/10]", "[8/10]"]


def test_what_differs_between_two_makings_of_a_cell_is_said():
    def record(ranks, **config):
        found = {"VR": ranks, "SVMR": None, "VCMR": {"0.7": ranks}}
        row = {"en": found, "zh": found}
        ranks = {"en": row, "zh": row}
        made = {"meta": {}, "config": {"seed": 1} | config}
        return {"ranks": ranks, "videos": [0, 1], **made}

    old, new = record([1, 4]), record([1, 2])
    assert list(rerun.differences(old, old)) == [
        "ranks of videos: 0 of 8 differ",
        "ranks of moments in their video: 0 of 0 differ",
        "ranks of moments in the corpus: 0 of 8 differ",
        "VR MRR across languages: was 0.6250, now 0.6250",
        "VR MRR within languages: was 0.6250, now 0.6250",
    ]
    changed, _, moments, across, _ = rerun.differences(old, new)
    assert changed == "ranks of videos: 4 of 8 differ"
    assert moments == "ranks of moments in the corpus: 4 of 8 differ"
    assert across == "VR MRR across languages: was 0.6250, now 0.7500"
    other, newer, same, *_ = rerun.differences(
        old, record([1, 4], seed=2, model={"a": 0})
    )
    assert other == "config.seed: was 1, now 2"
    assert newer == "not known when it was made: model.a"
    assert same == "ranks of videos: 0 of 8 differ"
    elsewhere = dict(old, meta={"processor": "B"}, data={"digest": "1"})
    before = dict(old, data={"digest": "0"})
    processor, data, *_ = rerun.differences(before, elsewhere)
    assert processor.startswith("processor: was not said, now B; ")
    assert data == "data: was {'digest': '0'}, now {'digest': '1'}"


def test_a_cell_to_be_made_again_must_be_there(tmp_path):
    config = Rerun(out=tmp_path, cell="none", work=tmp_path / "work")
    with pytest.raises(UserError, match=r"none\.json\.gz: found no such file"):
        rerun.find(config)


def test_records_have_the_same_bytes_whenever_they_are_written(tmp_path):
    record = {"cell": {}, "ranks": {"en": None}, "videos": [1]}
    for name in ("a", "b"):
        records.write(tmp_path / name, record)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads(json.dumps(records.read(tmp_path / "a"))) == record
