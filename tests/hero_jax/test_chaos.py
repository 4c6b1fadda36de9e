"""A run that is killed at any moment ends bit for bit as if it had not been."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def chaos(run_dir, *options):
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", str(run_dir), *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    return result["kills"], result["digest"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    _, digest = chaos(tmp_path_factory.mktemp("whole"))
    parts = {name.split("/")[1] for name in digest if name.startswith("training/")}
    assert {"step", "opt_state", "rng"} <= parts
    assert {name.split("/")[0] for name in digest} == {"params", "training", "next"}
    return digest


def test_thirteen_kills_leave_no_trace(uninterrupted, tmp_path):
    kills, digest = chaos(tmp_path, "--after_save", "10", "--during_save", "3")
    assert kills == {"after_save": 10, "during_save": 3}
    assert digest == uninterrupted


def test_a_run_that_forgets_its_place_in_the_data_is_noticed(uninterrupted, tmp_path):
    kills, digest = chaos(tmp_path, "--after_save", "1", "--forget_data")
    assert kills["after_save"] == 1
    differing = {
        name.split("/")[0] for name in digest if digest[name] != uninterrupted[name]
    }
    assert {"params", "training"} <= differing


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_no_kill_leaves_a_trace(uninterrupted, tmp_path, seed):
    options = ("--after_save", "14", "--during_save", "6", "--seed", str(seed))
    kills, digest = chaos(tmp_path, *options)
    assert sum(kills.values()) >= 15
    assert digest == uninterrupted
