"""What is done with a trained run: lexical injection into it, and a student of it."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from experiments.crosslingual import distil, inject, mtvr_loo
from experiments.crosslingual.distil import Distil
from experiments.crosslingual.inject import Inject
from experiments.crosslingual.mtvr_loo import MtvrLoo
from hero_jax import export, exported
from hero_jax.errors import UserError
from hero_jax.paths import named_leaves
from tests.experiments.mtvr_releases import write_release


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inject")
    (folder / "release").mkdir()
    config = MtvrLoo(
        data_dir=write_release(folder / "release"),
        run_dir=folder / "run",
        steps=2,
        batch_size=8,
        parallel_batch_size=8,
        width=16,
    )
    mtvr_loo.run(config)
    return folder / "run" / "vsm"


def test_adapters_move_the_text_tower_and_both_sides_are_told(
    trained, tmp_path, capsys
):
    config = Inject(
        start=trained, run_dir=tmp_path / "run", steps=3, batch_size=8, rank=2
    )
    results = inject.run(config)
    assert set(results) == {"before", "after"}
    assert set(results["before"]["VR MRR"]) >= {"en-en", "en-zh", "zh-en", "zh-zh"}
    assert "en-zh cosine, shuffled pairs" in capsys.readouterr().out
    before = named_leaves(exported.load_params(trained)["hero"])
    after = named_leaves(exported.load_params(tmp_path / "run/injected")["hero"])
    moved = {name for name in after if np.any(before[name] != after[name])}
    assert moved
    assert all("cross_modal" in name and "attention" in name for name in moved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": 0}, "--layer: found 0"),
        ({"order": ("en",)}, "--order: found en, expected two"),
    ],
)
def test_what_cannot_work_is_refused_by_name(tmp_path, changes, message):
    config = Inject(start=tmp_path, run_dir=tmp_path)
    with pytest.raises(UserError, match=message):
        inject.check(dataclasses.replace(config, **changes))


def test_a_student_is_taught_measured_and_exported_alone(trained, tmp_path, capsys):
    config = Distil(teachers=(trained, trained), run_dir=tmp_path / "run", steps=2)
    results = distil.run(config)
    assert set(results["student"]["VR MRR"]) >= {"en-en", "en-zh", "zh-en", "zh-zh"}
    assert "VR MRR zh-en" in capsys.readouterr().out
    log = (tmp_path / "run/taught/metrics.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["moments/taught"] > 0
    export.to_folder(tmp_path / "run/taught", tmp_path / "out", split="test")
    names = safetensors.numpy.load_file(tmp_path / "out/model.safetensors")
    assert names and not any("teacher" in name for name in names)
    written = (tmp_path / "out/config.json").read_text()
    assert str(tmp_path) not in written and "TaughtRetrieval" not in written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teachers": ()}, "--teachers: found none"),
        ({"steps": 0}, "--steps: found 0"),
        ({"temperature": 0.0}, "--temperature: found 0.0"),
        ({"alpha": -1.0}, "--alpha: found -1.0"),
    ],
)
def test_a_lesson_that_cannot_work_is_refused_by_name(tmp_path, changes, message):
    config = Distil(teachers=(tmp_path,), run_dir=tmp_path)
    with pytest.raises(UserError, match=message):
        distil.check(dataclasses.replace(config, **changes))
