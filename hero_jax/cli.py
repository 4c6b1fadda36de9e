"""The `hero-jax` command: ask a trained run, measure it, bring weights in and out."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from data_pipelines import convert_db
from hero_jax import command_line, export, importing, report, search
from hero_jax.errors import one_line, run_main


@dataclasses.dataclass(frozen=True)
class Search:
    """Find videos and moments by a query in any language the run was trained on."""

    run: tyro.conf.Positional[Path]
    """A run directory, such as runs/quickstart or runs/quickstart/vsm."""
    query: tyro.conf.Positional[str]
    """What to look for."""
    k: int = 10
    """Answers to print, at most."""
    split: str = "test"
    """The videos to search."""
    subtitles: str = ""
    """Language in which the videos are read, or "none"; empty is the first one."""
    json: bool = False
    """Print [{"video", "start", "end", "score"}] instead of a table."""

    def __call__(self) -> None:
        searcher = search.load(self.run)
        answers = searcher.search(
            self.query, k=self.k, split=self.split, subtitles=self.subtitles
        )
        rows = search.as_rows(answers)
        if self.json:
            print(json.dumps(rows, ensure_ascii=False))
            return
        for row in rows:
            print("{video:24} {start:7.1f} s {end:7.1f} s  {score:8.4f}".format(**row))


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Measure a run: for retrieval, every query language on every subtitle language."""

    run: tyro.conf.Positional[Path]
    """A run directory."""
    split: str = "test"
    """The videos and queries to measure on."""
    json: bool = False
    """Print the whole result instead of the tables."""

    def __call__(self) -> None:
        run_dir = search.find_run(self.run)
        found = search.evaluate_all(run_dir, self.split)
        if self.json:
            content = next(iter(found.values())) if len(found) == 1 else found
            print(json.dumps(report.plain(content), ensure_ascii=False))
            return
        for task, results in found.items():
            name = run_dir.name if len(found) == 1 else f"{run_dir.name}/{task}"
            print(report.shown(name, results))


@dataclasses.dataclass(frozen=True)
class Import:
    """Make a run of released HERO or VALUE weights; nothing in the file is run."""

    file: tyro.conf.Positional[Path]
    """A .pt file, of either of PyTorch's formats, or a .safetensors file."""
    run: tyro.conf.Positional[Path]
    """The run directory to make."""
    config: Path | None = None
    """The official model config, or the config.json of a run whose tasks and data are
    to be used; without it, sizes come from the weights."""
    partial: bool = False
    """Take what fits; what is missing is drawn anew, what is unknown is kept."""

    def __call__(self) -> None:
        done = importing.import_file(
            self.file, self.run, config_path=self.config, is_partial=self.partial
        )
        print(f"sha256 {done.sha256}  {self.file.name}")
        print(f"{self.run}: {done.num_parameters:,} parameters")
        kept = ", ".join(done.kept) or "nothing else"
        print(one_line(f"kept for export: {kept}"))
        if differences := str(done.differences):
            print(one_line(f"did not fit: {differences}"))


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a run for others to use."""

    run: tyro.conf.Positional[Path]
    """A run directory."""
    to: Literal["official", "folder", "stablehlo", "onnx"]
    """A .pt file for the official code; a folder that hero_jax.load searches without
    the dataset; or programs that run without this package, or without JAX."""
    out: Path
    """The file or folder to write."""
    split: str = "test"
    """The videos that the folder can search."""
    legacy: bool = False
    """Write the .pt format before PyTorch 1.6, as the official containers need."""

    def __call__(self) -> None:
        if self.to == "official":
            export.to_official(self.run, self.out, is_legacy=self.legacy)
        elif self.to == "folder":
            export.to_folder(self.run, self.out, split=self.split)
        elif self.to == "stablehlo":
            export.to_stablehlo(self.run, self.out)
        else:
            export.to_onnx(self.run, self.out)
        print(self.out)


@dataclasses.dataclass(frozen=True)
class ConvertDb:
    """Make datasets of the databases that HERO and VALUE were released with."""

    source: tyro.conf.Positional[Path]
    """The folder that holds txt_db and video_db, whatever they are called."""
    out: Path
    """Where the datasets are written."""
    datasets: tuple[str, ...] = ()
    """Only these, such as tvr tvqa; empty is all, each with its own copy of the
    features."""
    features: str | None = None
    """Which features, such as clip-vit_slowfast; without it resnet_slowfast, or the
    only ones there are."""
    language: str = "en"
    """Language of the texts."""
    workers: int = 1
    """Processes that write."""
    allow_missing: bool = False
    """Drop videos without features, and say so."""

    def __call__(self) -> None:
        options = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for built in convert_db.convert_db(**options):
            for warning in built.warnings:
                print(f"warning: {warning}", file=sys.stderr)
            print(built)


def main() -> None:
    """Runs the chosen command; a mistake is one line and exit code 2."""
    commands: Any = (
        Annotated[Search, tyro.conf.subcommand("search")]
        | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[ConvertDb, tyro.conf.subcommand("convert-db")]
        | Annotated[Import, tyro.conf.subcommand("import")]
        | Annotated[Export, tyro.conf.subcommand("export")]
    )
    run_main(
        lambda: command_line.parse(commands, prog="hero-jax", description=__doc__)()
    )


if __name__ == "__main__":
    main()
