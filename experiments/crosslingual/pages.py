"""A report as sections of sentences, tables and plots: Markdown, and one HTML page."""

import dataclasses
from collections.abc import Sequence

from markdown_it import MarkdownIt

from experiments.crosslingual import intervals
from experiments.crosslingual.intervals import Estimate
from hero_jax.report import Curves
from hero_jax.report_html import STYLE, escape, plots

TABLE_STYLE = """
.wide { overflow-x: auto } .wide table { border-collapse: collapse; font-size: .85rem }
.wide th, .wide td { text-align: left; padding: .3rem .6rem; vertical-align: top;
  border-bottom: 1px solid var(--rule); font-variant-numeric: tabular-nums }
figure.wide { max-width: 46rem } .zero { stroke: var(--soft) }
.estimate { stroke: var(--s0); fill: var(--s0); stroke-width: 1.8 }
"""


@dataclasses.dataclass(frozen=True)
class Table:
    """Cells of text under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.header)]
        if wrong:
            raise ValueError(f"row {wrong[0]}: expected {len(self.header)} cells")


@dataclasses.dataclass(frozen=True)
class Figure:
    """Curves by arm and term; the HTML page alone draws them."""

    curves: Curves


@dataclasses.dataclass(frozen=True)
class Intervals:
    """The estimates of a table with their intervals; the HTML page alone draws them."""

    title: str
    estimates: tuple[Estimate, ...]


Block = str | Table | Figure | Intervals


@dataclasses.dataclass(frozen=True)
class Section:
    """Blocks under a title."""

    title: str
    blocks: tuple[Block, ...]


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """Without the figures, which the page has."""
    parts = [f"# {title}"]
    for section in sections:
        blocks = [markdown(block) for block in section.blocks]
        parts += [f"## {section.title}", *filter(None, blocks)]
    return "\n\n".join(parts) + "\n"


def markdown(block: Block) -> str:
    if isinstance(block, Figure | Intervals):
        return ""
    if isinstance(block, str):
        return block
    lines = [block.header, ("---",) * len(block.header), *block.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_html(title: str, sections: Sequence[Section], prose: str = "") -> str:
    """One page without requests or scripts; all text escaped.

    `prose` is Markdown that stands before the sections.
    """
    begun = rendered(prose)
    content = begun + "".join(
        f"<section><h2>{escape(section.title)}</h2>"
        f"{''.join(map(html, section.blocks))}</section>"
        for section in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{TABLE_STYLE}</style></head>"
        f"<body>{headed(title, prose)}{content}</body></html>\n"
    )


def rendered(prose: str) -> str:
    """Markdown with tables as HTML; what looks like HTML in it stays text."""
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(prose))


def headed(title: str, prose: str) -> str:
    """The title, unless the prose has one of its own."""
    return "" if prose.startswith("# ") else f"<h1>{escape(title)}</h1>"


def html(block: Block) -> str:
    if isinstance(block, Figure):
        return plots(block.curves)
    if isinstance(block, Intervals):
        return intervals.picture(block.title, block.estimates)
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    line = lambda tag, cells: "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells)
    rows = "".join(f"<tr>{line('td', row)}</tr>" for row in block.rows)
    head = f"<thead><tr>{line('th', block.header)}</tr></thead>"
    return f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'
