"""Mesh and processes decide where numbers are made, and change no number."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hero_jax import checkpoint
from hero_jax.logs import read_lines
from hero_jax.train import train
from tests import mesh_run

ROOT = Path(__file__).resolve().parents[2]
STEPS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_processes(run_dir, *, count, data, model=1, devices=4):
    """The same command once per process, each with its own pretend devices."""
    flags = (
        f"--xla_force_host_platform_device_count={devices} "
        "--xla_backend_optimization_level=0"
    )
    command = [sys.executable, "-m", "tests.mesh_run", str(run_dir)]
    options = {"data": data, "model": model, "count": count, "port": free_port()}
    command += [f"--{name}={value}" for name, value in options.items()]
    return [
        subprocess.Popen(
            [*command, f"--index={index}"],
            cwd=ROOT,
            env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def ends(started, timeout=300):
    """Exit codes and stderr of all processes."""
    errors = [process.communicate(timeout=timeout)[1] for process in started]
    return [process.returncode for process in started], errors


def numbers(run_dir):
    """[steps, 3]: loss, gradient norm and learning rate of every step."""
    lines = read_lines(run_dir / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    names = ("vsm/loss", "grad_norm", "learning_rate")
    return np.array([[line[name] for name in names] for line in lines])


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("one") / "run"
    train(mesh_run.config(1, 1), run_dir)
    return numbers(run_dir)


@pytest.mark.parametrize(("data", "model"), [(8, 1), (4, 2)])
def test_twenty_steps_agree_at_every_step(one_device, tmp_path, data, model):
    train(mesh_run.config(data, model), tmp_path)
    np.testing.assert_allclose(numbers(tmp_path), one_device, rtol=1e-5)


def test_two_processes_of_four_devices_agree_too(one_device, tmp_path):
    codes, errors = ends(start_processes(tmp_path, count=2, data=8))
    assert codes == [0, 0], errors
    np.testing.assert_allclose(numbers(tmp_path), one_device, rtol=1e-5)
    assert checkpoint.load_params(tmp_path)[0] == STEPS


def test_the_numbers_do_change_with_the_seed(one_device, tmp_path):
    train(mesh_run.config(1, 1, seed=78), tmp_path)
    assert np.abs(numbers(tmp_path) - one_device).max() > 1e-2
