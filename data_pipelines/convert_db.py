"""Converts released databases into datasets: `python -m data_pipelines.convert_db`."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_pipelines.build import Built, build_with
from data_pipelines.command import Parser, answer


def convert_db(
    source: str | Path,
    out: str | Path,
    *,
    datasets: Sequence[str] = (),
    features: str | None = None,
    language: str = "en",
    workers: int = 1,
    allow_missing: bool = False,
) -> Iterator[Built]:
    """Converts the databases below `source`, one dataset after the other.

    Without `datasets` all that are there: each with its own copy of its videos'
    features. Raises InputError where a database is at fault.
    """
    from data_pipelines.official_db import layout
    from data_pipelines.official_db.builder import DbRequest, OfficialDb

    source, out = Path(source), Path(out)
    for name in datasets or layout.find(source).datasets():
        request = DbRequest(
            data_dir=source,
            dataset=name,
            version=features,
            language=language,
            workers=workers,
            allow_missing=allow_missing,
        )
        built = build_with(OfficialDb, request, out, name)
        yield _with_tokens(built, out)


def _with_tokens(built: Built, out: Path) -> Built:
    """The dataset, after the file that says which ids its texts have."""
    from data_pipelines import stored_tokens

    path = stored_tokens.path_of(out, built.dataset)
    if not built.is_new and path.exists():
        return built
    others = stored_tokens.write(out, built.dataset, built.manifest.splits)
    if not others:
        return built
    line = f"{others} texts with several lists of ids, of which the first are kept"
    return dataclasses.replace(built, warnings=[*built.warnings, line])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0, 2 for bad input, 75 while another process converts the same."""
    return answer(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> None:
    for built in convert_db(**vars(_parser().parse_args(arguments))):
        for warning in built.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        print(built)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m data_pipelines.convert_db",
        description="Converts the databases that HERO and VALUE were released with "
        "(LMDB folders of texts and of frame features) into datasets that open by "
        "random access. The same command takes up a killed conversion.",
    )
    parser.add_argument("source", help="the folder that holds txt_db and video_db")
    parser.add_argument("--out", required=True, help="where datasets are written")
    parser.add_argument(
        "--datasets",
        nargs="+",
        default=(),
        help="only these, such as tvr tvqa; without it all that are there, each with "
        "its own copy of the features",
    )
    parser.add_argument(
        "--features",
        help="which features, such as clip-vit_slowfast; without it resnet_slowfast "
        "or the only ones there are",
    )
    parser.add_argument(
        "--language", default="en", help="language of the texts (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that write (1)"
    )
    parser.add_argument(
        "--allow_missing",
        action="store_true",
        help="drop videos without features, and say so",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
