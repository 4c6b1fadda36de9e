"""A mistake in an option is one line that names it and says where help is."""

import dataclasses

import pytest

from hero_jax import command_line
from hero_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Options:
    """What can be said."""

    steps: int
    """How long."""


def parse(*args):
    return command_line.parse(Options, prog="program", args=args)


def test_what_is_right_is_parsed():
    assert parse("--steps", "3") == Options(steps=3)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ([], "--steps INT"),
        (["--steps"], "--steps"),
        (["--steps", "many"], "'many'"),
        (["--steps", "3", "--stepz", "4"], "--stepz"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(args, complaint, capsys):
    with pytest.raises(UserError) as raised:
        parse(*args)
    line = str(raised.value)
    assert complaint in line and line.endswith("(see program --help)")
    assert "\n" not in line and "│" not in line
    assert capsys.readouterr().err == ""


def test_help_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    assert "How long." in capsys.readouterr().out
