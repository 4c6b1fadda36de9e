"""The launch scripts: what they would run, and that it runs as several processes."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.cluster import launch

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "experiments" / "cluster"
TPU = ("--name", "slice", "--zone", "z1")

# Prints who it is; then, as told by its arguments, fails, or waits for a signal.
WORKER = """
import json, os, signal, sys, time
rank = int(os.environ["HERO_PROCESS_ID"])
if len(sys.argv) > 1 and sys.argv[1] == "wait":
    def end(number, _):
        os.write(1, f"{rank} saves\\n".encode()); sys.exit(143)
    signal.signal(signal.SIGTERM, end)
keys = [k for k in os.environ if k.startswith("HERO_")] + ["XLA_FLAGS"]
line = json.dumps({k: os.environ.get(k) for k in keys} | {"argv": sys.argv[1:]})
os.write(1, (line + "\\n").encode())
if len(sys.argv) > 1 and sys.argv[1] == "wait":
    time.sleep(60)
if len(sys.argv) > 2 and sys.argv[1] == "fail":
    sys.exit(int(sys.argv[2])) if rank == 1 else time.sleep(60)
"""


@pytest.fixture
def worker(tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)
    return [sys.executable, str(tmp_path / "worker.py")]


def run(*command, **environment):
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ranks(output):
    entries = [json.loads(line) for line in output.splitlines() if line[0] == "{"]
    return sorted(entries, key=lambda entry: entry["HERO_PROCESS_ID"])


# Scripts


@pytest.mark.parametrize("name", ["slurm.sh", "tpu_slice.sh", "hosts.sh"])
def test_bash_reads_the_script(name):
    assert run("bash", "-n", str(CLUSTER / name)).returncode == 0


def test_slurm_prints_a_command_for_every_host():
    script, command = (
        str(CLUSTER / "slurm.sh"),
        ["python", "-m", "x", "--a", "two words"],
    )
    found = run(script, "--dry-run", "--hosts", "n1,n2,n3", *command, SLURM_JOB_ID="7")
    lines = [line.split(": ", 1) for line in found.stdout.splitlines()]
    assert [host for host, _ in lines] == ["n1", "n2", "n3"]
    for index, (_, line) in enumerate(lines):
        assert shlex.split(line) == [
            "HERO_COORDINATOR=n1:20007",
            "HERO_NUM_PROCESSES=3",
            f"HERO_PROCESS_ID={index}",
            *command,
        ]


def test_a_tpu_slice_gets_a_command_for_every_worker():
    script = str(CLUSTER / "tpu_slice.sh")
    found = run(
        script, "--dry-run", "--hosts", "10.0.0.2,10.0.0.3", *TPU, "python", "a b"
    )
    for index, line in enumerate(found.stdout.splitlines()):
        host, *words = shlex.split(line)
        assert host == f"10.0.0.{index + 2}:"
        assert words[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "slice"]
        assert words[6:8] == ["--zone=z1", f"--worker={index}"]
        assert shlex.split(words[8].removeprefix("--command=")) == [
            "cd",
            "hero_jax",
            "&&",
            "HERO_COORDINATOR=10.0.0.2:8476",
            "HERO_NUM_PROCESSES=2",
            f"HERO_PROCESS_ID={index}",
            "python",
            "a b",
        ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["slurm.sh", "--dry-run", "--hosts", "a"], "slurm.sh: no command;"),
        (["slurm.sh", "python"], "slurm.sh: not in a Slurm job;"),
        (["slurm.sh", "--dryrun", "python"], "slurm.sh: --dryrun: unknown option;"),
        (["slurm.sh", "--dry-run", "--hosts"], "slurm.sh: --hosts: expected a value"),
        (["slurm.sh", "--hosts", ",", "python"], "slurm.sh: --hosts: found no name"),
        (["tpu_slice.sh", "--name", "s", "python"], "tpu_slice.sh: which slice?"),
        (
            ["tpu_slice.sh", "--zone", "--name"],
            "tpu_slice.sh: --zone: expected",
        ),
    ],
)
def test_a_mistake_gets_one_line_and_exit_code_2(arguments, expected):
    found = run(str(CLUSTER / arguments[0]), *arguments[1:], SLURM_JOB_NODELIST="")
    assert found.returncode == 2
    assert found.stderr.startswith(expected)
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--processes", "0", "--", "python"],
            "--processes: found 0, expected",
        ),
        (
            ["--processes", "1", "--devices", "-1", "--", "python"],
            "--devices: found -1",
        ),
        (["--processes", "2", "--", "/no/program"], "command: found '/no/program'"),
        (["--processes", "2"], "the following arguments are required: command"),
    ],
)
def test_a_mistake_of_the_launcher_gets_one_line_and_exit_code_2(options, expected):
    found = run(*launched(*options))
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: {expected}")
    assert found.stderr.count("\n") == 1


def stand_in(folder, name, text):
    """An executable of that name, first on the path."""
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


SRUN = """
shift
for i in 0 1; do SLURM_PROCID=$i "$@" & done
code=0; for _ in 0 1; do wait -n || code=$?; done; exit $code
"""


def test_a_slurm_job_starts_a_process_per_node(tmp_path, worker):
    stand_in(tmp_path, "scontrol", 'test "$1" = show && echo node1 && echo node2')
    path = stand_in(tmp_path, "srun", SRUN)
    job = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_ID": "20001", **path}
    found = run(str(CLUSTER / "slurm.sh"), *worker, "a b", **job)
    assert found.returncode == 0, found.stderr
    first, second = ranks(found.stdout)
    assert first["argv"] == ["a b"]
    assert first["HERO_COORDINATOR"] == second["HERO_COORDINATOR"] == "node1:20001"
    assert (first["HERO_PROCESS_ID"], second["HERO_PROCESS_ID"]) == ("0", "1")


def test_a_slurm_job_that_saved_on_sigterm_queues_itself_again(tmp_path):
    stand_in(tmp_path, "scontrol", 'echo "scontrol $*"')
    path = stand_in(tmp_path, "srun", "exit 143")
    job = {"SLURM_JOB_NODELIST": "node1", "SLURM_JOB_ID": "12", **path}
    found = run(str(CLUSTER / "slurm.sh"), "python", **job)
    assert found.returncode == 143
    assert "scontrol requeue 12" in found.stdout


def test_a_tpu_slice_runs_what_the_dry_run_prints(tmp_path, worker):
    text = 'for last in "$@"; do :; done; bash -c "${last#--command=}"'
    path = stand_in(tmp_path, "gcloud", text)
    options = ["--hosts", "h1,h2", "--dir", str(tmp_path), *TPU]
    found = run(str(CLUSTER / "tpu_slice.sh"), *options, *worker, "a b", **path)
    assert found.returncode == 0, found.stderr
    assert [entry["HERO_PROCESS_ID"] for entry in ranks(found.stdout)] == ["0", "1"]
    assert ranks(found.stdout)[1]["argv"] == ["a b"]


def test_a_failing_tpu_worker_ends_the_launch(tmp_path, worker):
    text = 'for last in "$@"; do :; done; exec bash -c "exec env ${last#*&&}"'
    path = stand_in(tmp_path, "gcloud", text)
    options = ["--hosts", "h1,h2", *TPU]
    begin = time.monotonic()
    found = run(str(CLUSTER / "tpu_slice.sh"), *options, *worker, "fail", "9", **path)
    assert found.returncode == 9
    assert time.monotonic() - begin < 30  # the other would sleep for a minute


# One machine


def launched(*options):
    return [sys.executable, "-m", "experiments.cluster.launch", *options]


def test_every_process_knows_its_place(worker):
    options = ("--processes", "3", "--devices", "4", "--", *worker, "--a", "b c")
    found = run(*launched(*options))
    assert found.returncode == 0, found.stderr
    entries = ranks(found.stdout)
    assert [entry["HERO_PROCESS_ID"] for entry in entries] == ["0", "1", "2"]
    assert {entry["HERO_NUM_PROCESSES"] for entry in entries} == {"3"}
    assert len({entry["HERO_COORDINATOR"] for entry in entries}) == 1
    assert entries[0]["argv"] == ["--a", "b c"]
    last_flag = entries[0]["XLA_FLAGS"].split()[-1]
    assert last_flag == "--xla_force_host_platform_device_count=4"


def test_the_local_dry_run_prints_what_would_run():
    found = run(*launched("--processes", "2", "--dry-run", "--", "python", "a b"))
    lines = [shlex.split(line) for line in found.stdout.splitlines()]
    assert [line[3] for line in lines] == ["HERO_PROCESS_ID=0", "HERO_PROCESS_ID=1"]
    assert all(line[4:] == ["python", "a b"] for line in lines)


def test_when_one_fails_the_others_end_and_its_code_counts(worker):
    places = launch.environments(3, None)
    begin = time.monotonic()
    assert launch.launch([*worker, "fail", "75"], places) == 75
    assert time.monotonic() - begin < 30


def test_a_process_killed_by_a_signal_counts_as_a_shell_would_count_it():
    kill = "import os; os.kill(os.getpid(), 9)"
    places = launch.environments(1, None)
    assert launch.launch([sys.executable, "-c", kill], places) == 137


def test_one_that_ignores_the_end_is_killed_after_the_grace():
    deaf = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "time.sleep(.5); os.environ['HERO_PROCESS_ID'] == '0' and sys.exit(3); "
        "time.sleep(60)"
    )
    places = launch.environments(2, None)
    assert launch.launch([sys.executable, "-c", deaf], places, grace_s=0.2) == 3


def test_sigterm_reaches_every_process_and_all_may_save(worker):
    options = ("--processes", "2", "--", *worker, "wait")
    with subprocess.Popen(
        launched(*options), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        started = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert len(ranks("".join(started))) == 2
    assert sorted(rest.splitlines()) == ["0 saves", "1 saves"]
    assert process.returncode == 143


@pytest.mark.slow
def test_two_processes_run_the_whole_quickstart(tmp_path):
    """The first renders, evaluates and reports alone while the second waits."""
    options = ("--processes", "2", "--devices", "2", "--", sys.executable)
    small = ["--videos", "16", "--steps", "2", "--batch_size", "8"]
    mesh = ["--mesh.data", "4", "--objectives", "vsm", "info_nce"]
    quickstart = ["-m", "experiments.quickstart", "--run_dir", str(tmp_path)]
    found = subprocess.run(
        [*launched(*options), *quickstart, *small, *mesh],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert set(results) == {"vsm", "info_nce"}
