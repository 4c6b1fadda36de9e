import os
import subprocess
import sys

import pytest

from data_pipelines.readers.errors import InputError
from hero_jax.errors import BusyError, UserError, run_main


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("a.jsonl:3: desc:\n is missing"), 2),
        (BusyError("runs/x: process 7 on a is already training here"), 75),
        (InputError("a.srt:1: start: found -1"), 2),
        (KeyboardInterrupt(), 130),
        (IsADirectoryError(21, "Is a directory", "runs/x/.lock"), 2),
        (OSError(28, "No space left on device", "runs/x/results.json"), 75),
    ],
)
def test_a_mistake_ends_in_one_line_and_its_code(capsys, error, code):
    with pytest.raises(SystemExit) as exit_:
        run_main(raising(error))
    assert exit_.value.code == code
    assert capsys.readouterr().err.count("\n") == 1


def test_names_from_files_do_not_steer_the_terminal(capsys):
    with pytest.raises(SystemExit):
        run_main(raising(UserError("a\nb\x1b[31m\u200b \u7535\u89c6: found -1")))
    said = capsys.readouterr().err
    assert said == "error: a b\\x1b[31m\\u200b \u7535\u89c6: found -1\n"


def test_other_errors_keep_their_traceback():
    with pytest.raises(ValueError, match="ours"):
        run_main(raising(ValueError("ours")))


def test_no_traceback_reaches_the_terminal():
    program = (
        "from hero_jax.errors import UserError, run_main\n"
        "def main(): raise UserError('steps: found 0')\n"
        "run_main(main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert (done.returncode, done.stderr) == (2, "error: steps: found 0\n")
