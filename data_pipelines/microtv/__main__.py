"""`python -m data_pipelines.microtv --out DIR --videos N --seed S`."""

import os
import sys

from data_pipelines.command import Parser, answer, checked_workers, folder
from data_pipelines.microtv.generate import generate


def main(arguments: list[str] | None = None) -> int:
    """Exit codes of `command.answer`."""
    return answer(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> None:
    parser = Parser(
        prog="python -m data_pipelines.microtv",
        description="Generates a miniature TV corpus, subtitled in three languages.",
    )
    parser.add_argument("--out", type=folder, required=True, help="folder to fill")
    parser.add_argument("--videos", type=int, default=520, help="how many, 5 to 1200")
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed, other videos"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes that draw"
    )
    chosen = parser.parse_args(arguments)
    generate(
        chosen.out,
        num_videos=chosen.videos,
        seed=chosen.seed,
        workers=checked_workers(chosen.workers),
    )


if __name__ == "__main__":
    sys.exit(main())
