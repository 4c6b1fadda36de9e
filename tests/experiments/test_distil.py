"""A tiny student and its teacher: both are told, and the student is handed on alone."""

import dataclasses
import json

import pytest
import safetensors.numpy

from experiments.crosslingual import distil, mtvr_loo
from experiments.crosslingual.distil import Distil
from experiments.crosslingual.mtvr_loo import MtvrLoo
from hero_jax import export
from hero_jax.errors import UserError
from tests.experiments.mtvr_releases import write_release


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distil")
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


def test_a_student_is_taught_measured_and_exported_alone(teacher, tmp_path, capsys):
    config = Distil(teachers=(teacher, teacher), run_dir=tmp_path / "run", steps=2)
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
def test_what_cannot_work_is_refused_by_name(tmp_path, changes, message):
    config = Distil(teachers=(tmp_path,), run_dir=tmp_path)
    with pytest.raises(UserError, match=message):
        distil.check(dataclasses.replace(config, **changes))
