"""`python -m data_pipelines.microtv --out DIR --videos N --seed S`."""

import argparse
import os
import sys
from pathlib import Path

from data_pipelines.microtv.generate import OutputError, generate
from data_pipelines.microtv.plan import PlanError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data_pipelines.microtv",
        description="Generates a miniature TV corpus, subtitled in three languages.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--videos", type=int, default=520, help="how many, 5 to 1200")
    parser.add_argument(
        "--seed", type=int, default=0, help="another seed, other videos"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), help="processes that draw"
    )
    chosen = parser.parse_args(arguments)
    try:
        generate(
            chosen.out,
            num_videos=chosen.videos,
            seed=chosen.seed,
            workers=chosen.workers,
        )
    except (OutputError, PlanError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
