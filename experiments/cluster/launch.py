"""Runs a command as several processes on this machine that train as one.

    python -m experiments.cluster.launch --processes 2 --devices 4 -- \
        python -m experiments.quickstart --run_dir runs/quickstart --mesh.data 8

`--devices` gives each process that many pretend CPU devices. A signal to the launcher
goes to every process; when one fails the others are ended; the exit code is that of
the first to fail.
"""

import argparse
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from data_pipelines.command import Parser, answer

GRACE_S = 60.0
"""What the processes get to save and end by themselves, before they are killed."""
POLL_S = 0.05


def main() -> None:
    """Parses the command line, launches and exits with the code of the run."""
    parser = Parser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, required=True, metavar="N")
    parser.add_argument("--devices", type=int, metavar="N", help="pretend CPU devices")
    parser.add_argument("--dry-run", action="store_true", help="print, do not run")
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()
    for option, value in (("processes", args.processes), ("devices", args.devices)):
        if value is not None and value < 1:
            parser.error(f"--{option}: found {value}, expected at least 1")
    if not args.dry_run and shutil.which(args.command[0]) is None:
        parser.error(f"command: found {args.command[0]!r}, expected a program to run")
    places = environments(args.processes, args.devices)
    if args.dry_run:
        for place in places:
            settings = " ".join(
                f"{key}={shlex.quote(value)}" for key, value in place.items()
            )
            print(f"127.0.0.1: {settings} {shlex.join(args.command)}")
        return
    sys.exit(launch(args.command, places))


def environments(num_processes: int, num_devices: int | None) -> list[dict[str, str]]:
    """The variables that tell each process where its peers are."""
    shared = {
        "HERO_COORDINATOR": f"127.0.0.1:{free_port()}",
        "HERO_NUM_PROCESSES": str(num_processes),
    }
    if num_devices:
        flag = f"--xla_force_host_platform_device_count={num_devices}"
        # The last of several such flags counts.
        shared["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    return [shared | {"HERO_PROCESS_ID": str(i)} for i in range(num_processes)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def launch(
    command: Sequence[str],
    places: Sequence[Mapping[str, str]],
    *,
    grace_s: float = GRACE_S,
) -> int:
    """Runs the command once per environment; the exit code, 128 + n for signal n."""
    group = Group(grace_s)
    before = {s: signal.signal(s, group.end) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        for place in places:
            group.start(command, place)
        return group.wait()
    finally:
        group.send(signal.SIGKILL)
        for number, handler in before.items():
            signal.signal(number, handler)


class Group:
    """Processes that live and end together."""

    def __init__(self, grace_s: float):
        self._grace_s = grace_s
        self._processes: list[subprocess.Popen[bytes]] = []
        self._deadline = float("inf")

    def start(self, command: Sequence[str], place: Mapping[str, str]) -> None:
        environment = {**os.environ, **place}
        self._processes.append(subprocess.Popen(command, env=environment))

    def end(self, number: int, _: object = None) -> None:
        """Passes a signal on and allows everybody the grace to save and end."""
        self._deadline = min(self._deadline, time.monotonic() + self._grace_s)
        self.send(number)

    def send(self, number: int) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def wait(self) -> int:
        """Waits for all; ends the rest once one has failed or the grace is over."""
        first = 0
        while any(process.poll() is None for process in self._processes):
            first = first or self._failure()
            if first and self._deadline == float("inf"):
                self.end(signal.SIGTERM)
            if time.monotonic() > self._deadline:
                self.send(signal.SIGKILL)
            time.sleep(POLL_S)
        first = first or self._failure()
        return 128 - first if first < 0 else first

    def _failure(self) -> int:
        """The code of a process that failed, negative for a signal; 0 for none yet."""
        return next(filter(None, [process.poll() for process in self._processes]), 0)


if __name__ == "__main__":
    sys.exit(answer(main))
