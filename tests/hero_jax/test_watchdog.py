import subprocess
import sys
import time

from hero_jax.processes import Preemption, Watchdog


def test_a_process_that_stands_still_is_ended_with_its_stacks_shown():
    program = (
        "import time\n"
        "from hero_jax.processes import Watchdog\n"
        "watchdog = Watchdog(0.2)\n"
        "def stuck(): time.sleep(60)\n"
        "stuck()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 75
    assert done.stderr.startswith("error: no step for 0.2 s")
    assert "in stuck" in done.stderr


def test_a_process_that_moves_is_left_alone():
    watchdog = Watchdog(0.2)
    for _ in range(8):
        time.sleep(0.05)
        watchdog.beat()
    watchdog.close()
    time.sleep(0.3)


def test_nobody_asked_to_stop():
    with Preemption() as preemption:
        assert not preemption.is_asked(1)
