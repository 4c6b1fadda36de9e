"""Commands as a user meets them: options, the file system, Ctrl-C."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_pipelines import build
from data_pipelines.features import extract
from data_pipelines.microtv import __main__ as microtv
from data_pipelines.readers.errors import InputError, in_words
from tests.data_pipelines import miniature

ROOT = Path(__file__).resolve().parents[2]


def refused(capsys, main, *arguments, code=2):
    """What the command says on its one line."""
    assert main([str(a) for a in arguments]) == code
    said, error = capsys.readouterr()
    assert (said, error.count("\n"), error[:7]) == ("", 1, "error: ")
    return error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", "0"), "--workers: found 0, expected 1 or more"),
        (("--workers", "-2"), "--workers: found -2, expected 1 or more"),
        (("--videos", "many"), "argument --videos: invalid int value: 'many' (see"),
        (("--videos", "4"), "--videos is 4, expected 5 to 1200"),
        (("--sed", "1"), "unrecognized arguments: --sed 1"),
    ],
)
def test_wrong_options_of_microtv_are_one_line(tmp_path, capsys, options, message):
    error = refused(capsys, microtv.main, "--out", tmp_path / "new", *options)
    assert message in error
    assert not (tmp_path / "new").exists()


def test_wrong_options_of_extract_are_one_line(tmp_path, capsys):
    where = ("--videos", tmp_path, "--out", tmp_path)
    error = refused(capsys, extract.main, *where, "--workers", "0")
    assert "--workers: found 0" in error
    error = refused(capsys, extract.main, *where, "--interval", "nan")
    assert "--interval: found nan, expected seconds from 0.01 to 60" in error


def test_a_file_in_the_way_is_named_with_what_to_do(tmp_path, capsys):
    (tmp_path / "file").touch()
    error = refused(capsys, microtv.main, "--out", tmp_path / "file", "--videos", 5)
    assert f"{tmp_path}/file: File exists (it is in the way: remove it" in error
    inside = tmp_path / "file" / "inside"
    error = refused(capsys, microtv.main, "--out", inside, "--videos", 5)
    assert "inside: Not a directory (a file stands where a folder should" in error
    where = ("--data_dir", tmp_path, "--out", inside)
    assert "Not a directory" in refused(capsys, build.main, "mtvr", *where)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied (chan"),
        (OSError(28, "No space left on device"), "out: No space left on device (make"),
        (OSError(5, "Input/output error", "/x"), "/x: Input/output error (see to it"),
        (OSError("odd"), "out: odd (see to it and start again)"),
    ],
)
def test_what_the_system_refuses_is_told_with_a_remedy(error, message):
    with pytest.raises(InputError) as told, in_words("out"):
        raise error
    assert str(told.value).startswith(message)


def test_a_disk_too_full_for_a_corpus_is_one_line_and_no_corpus(tmp_path, capsys):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    try:
        error = refused(capsys, microtv.main, "--out", tmp_path, "--videos", 5,
                        "--workers", 1, code=75)  # fmt: skip
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large (make room and start again" in error
    assert not (tmp_path / "manifest.json").exists()
    assert microtv.main(["--out", str(tmp_path), "--videos", "5"]) == 0


def interrupted(command, seen):
    """Starts a command, presses Ctrl-C once `seen()`; its exit code and its words."""
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Ctrl-C is ignored in the background, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        deadline = time.monotonic() + 60
        while not seen():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_an_interrupted_generation_says_so_and_starts_again(tmp_path):
    options = ["--out", tmp_path, "--videos", 60, "--workers", 2]
    command = ["data_pipelines.microtv", *options]
    code, said = interrupted(command, lambda: any(tmp_path.glob("videos/*")))
    assert (code, said.count("\n")) == (130, 1)
    assert said.startswith("interrupted")
    assert not (tmp_path / "manifest.json").exists()
    options[3] = 5
    assert microtv.main(list(map(str, options))) == 0


def test_an_interrupted_build_says_so_and_goes_on(tmp_path):
    release = miniature.write_microtv(tmp_path / "raw")
    features = miniature.write_features(tmp_path / "features")
    options = ["--data_dir", release, "--out", tmp_path / "out", "--features", features]
    command = ["data_pipelines.build", "microtv", *options]
    lock = tmp_path / "out" / ".microtv.lock"
    code, said = interrupted(command, lock.exists)
    assert (code, said.count("\n")) == (130, 1)
    assert not (tmp_path / "out" / "microtv").exists()
    assert build.main(["microtv", *map(str, options)]) == 0
