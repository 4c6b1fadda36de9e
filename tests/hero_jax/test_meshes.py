"""Mesh and processes decide where numbers are made, and change no number."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hero_jax import checkpoint
from hero_jax.logs import read_lines
from hero_jax.processes import FAILED
from hero_jax.train import train
from tests import mesh_run

ROOT = Path(__file__).resolve().parents[2]
STEPS = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_processes(run_dir, *extra, count, data, model=1, devices=4):
    """The same command once per process, each with its own pretend devices."""
    count_flag = "xla_force_host_platform_device_count"
    flags = os.environ["XLA_FLAGS"].replace(
        f"{count_flag}=8", f"{count_flag}={devices}"
    )
    command = [sys.executable, "-m", "tests.mesh_run", str(run_dir), *extra]
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


@pytest.mark.slow
def test_sigterm_to_one_process_saves_and_stops_all(tmp_path):
    started = start_processes(tmp_path, "--steps=100000", count=2, data=8)
    wait_for_steps(tmp_path, 3)
    started[1].send_signal(signal.SIGTERM)
    codes, errors = ends(started)
    assert codes == [143, 143], errors
    step, _ = checkpoint.load_params(tmp_path)
    assert step >= 3
    assert read_lines(tmp_path / "metrics.jsonl")[-1]["step"] == step


@pytest.mark.slow
def test_a_process_that_fails_ends_all_of_them(tmp_path):
    started = start_processes(tmp_path, "--fail_at=5", count=2, data=8)
    codes, errors = ends(started, timeout=120)
    assert codes[0] == FAILED, errors
    assert all(codes), errors


def wait_for_steps(run_dir, count, seconds=200):
    deadline = time.monotonic() + seconds
    while len(read_lines(run_dir / "metrics.jsonl")) < count:
        assert time.monotonic() < deadline, "the run did not get going"
        time.sleep(0.2)
