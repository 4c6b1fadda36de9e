"""Several processes as one run: who takes part."""

import pytest

from hero_jax.errors import UserError
from hero_jax.processes import ProcessConfig, from_environment

PEERS = {
    "HERO_COORDINATOR": "10.0.0.2:8476",
    "HERO_NUM_PROCESSES": "4",
    "HERO_PROCESS_ID": "3",
}


def test_without_a_launcher_there_is_one_process():
    assert from_environment({"PATH": "x"}) == ProcessConfig(1, 0, "")


def test_a_launcher_says_who_takes_part():
    assert from_environment(PEERS) == ProcessConfig(4, 3, "10.0.0.2:8476")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"HERO_PROCESS_ID": "4"}, "HERO_PROCESS_ID: found 4, expected less than"),
        ({"HERO_PROCESS_ID": "-1"}, "HERO_PROCESS_ID: found '-1', expected a whole"),
        ({"HERO_NUM_PROCESSES": "two"}, "HERO_NUM_PROCESSES: found 'two'"),
        ({"HERO_COORDINATOR": None}, "without HERO_COORDINATOR; set all three"),
    ],
)
def test_half_a_launcher_is_a_mistake(change, message):
    environment = {k: v for k, v in (PEERS | change).items() if v is not None}
    with pytest.raises(UserError, match=message):
        from_environment(environment)
