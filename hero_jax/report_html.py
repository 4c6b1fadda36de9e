"""A run's results as one self-contained page: no request, no script, all text escaped.

Curves, language matrices, and queries beside the videos and moments found for them.
"""

import base64
import dataclasses
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_pipelines.files import write_whole
from hero_jax import pictures, report
from hero_jax.report import Cell, Curves, Example, Hit, Matrix, Measure, Results

IMAGE_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg"}
NUM_STYLES = 7
MEASURES = (report.VR_MRR, report.VR_R1, *report.LOCAL)


@dataclasses.dataclass(frozen=True)
class Page:
    """What a report shows."""

    title: str
    results: Results
    meta: Mapping[str, Any]
    """Seed, versions, command, seconds: shown as they are."""
    curves: Curves = dataclasses.field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    show_texts: bool = True
    """False for datasets whose texts may not be passed on: queries appear by id."""


def write_report(path: Path, page: Page) -> None:
    """Writes the page in one step."""
    write_whole(path, render(page))


def render(page: Page) -> str:
    """The page as HTML."""
    parts = [
        f"<header><h1>{escape(page.title)}</h1>{facts(page.meta)}</header>",
        section("Language matrix", matrices(page.results)),
        section("Training", plots(page.curves)),
        section("Queries", queries(page)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(page.title)}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def escape(text: object) -> str:
    return html.escape(str(text))


def section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def facts(meta: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(flat(value))}</dd></div>"
        for key, value in meta.items()
    )
    return f'<dl class="facts">{rows}</dl>'


def flat(value: object) -> object:
    """A nested entry of the meta data in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {entry}" for key, entry in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return value


# Language matrices ------------------------------------------------------------------


def matrices(results: Results) -> str:
    """For every objective one small heat map per measure, on one common scale."""
    note = (
        '<p class="note">Rows: language of the query. Columns: language of the '
        "subtitles that were searched; “none”: frames alone. Shades of a measure are "
        "comparable across objectives.</p>"
    )
    scales = {measure: highest(results, measure) for measure in MEASURES}
    return note + "".join(
        f"<h3>{escape(name)}</h3>{objective(matrix, scales)}"
        for name, matrix in results.items()
    )


def highest(results: Results, measure: Measure) -> float:
    values = [
        measure.of(c) for matrix in results.values() for c in report.cells(matrix)
    ]
    return max([value for value in values if value] or [1.0])


def objective(matrix: Matrix, scales: Mapping[Measure, float]) -> str:
    first = report.cells(matrix)[0]
    count = f"{first['num_queries']} queries, {first['num_videos']} videos."
    shown = MEASURES if report.has_local(matrix) else MEASURES[:2]
    missing = "" if report.has_local(matrix) else f" SVMR, VCMR: {report.NO_LOCAL}."
    grids = "".join(
        heat_map(measure.title, matrix, measure, scales[measure]) for measure in shown
    )
    return (
        f'<p class="note">{escape(count + missing)}</p><div class="grids">{grids}</div>'
        + (by_type(matrix, scales[report.VR_MRR]))
    )


def by_type(matrix: Matrix, scale: float) -> str:
    """VR MRR for each query type, folded away until asked for."""
    grids = "".join(
        heat_map(
            f"VR MRR, {kind or 'unknown'} queries",
            {
                query: {s: cell["by_type"].get(kind, {}) for s, cell in row.items()}
                for query, row in matrix.items()
            },
            report.VR_MRR,
            scale,
        )
        for kind in report.query_types(matrix)
    )
    legend = "v: vision, t: subtitles, vt: both"
    return (
        f"<details><summary>By query type ({legend})</summary>"
        f'<div class="grids">{grids}</div></details>'
        if grids
        else ""
    )


def heat_map(
    title: str,
    matrix: Matrix,
    measure: Measure,
    scale: float,
) -> str:
    columns = report.subtitle_languages(matrix)
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(language)}</th>'
        + "".join(shade(row.get(column), measure, scale) for column in columns)
        + "</tr>"
        for language, row in matrix.items()
    )
    caption = escape(title) + by_chance(matrix, measure)
    return (
        f'<table class="heat"><caption>{caption}</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def shade(cell: Cell | None, measure: Measure, scale: float) -> str:
    value = measure.of(cell)
    share = min(max((value or 0.0) / scale, 0.0), 1.0)
    return f'<td style="--share:{60 * share:.0f}%">{measure.show(value)}</td>'


def by_chance(matrix: Matrix, measure: Measure) -> str:
    value = measure.chance(report.cells(matrix)[0])
    return "" if value is None else f" <small>chance {measure.show(value)}</small>"


# Curves -----------------------------------------------------------------------------


def plots(curves: Curves) -> str:
    """One plot for every term, with a line for each objective that has it."""
    drawn = {name: terms for name, terms in curves.items() if any(terms.values())}
    styles = {name: f"s{i % NUM_STYLES}" for i, name in enumerate(drawn)}
    terms = dict.fromkeys(
        term for name in drawn for term, points in drawn[name].items() if points
    )
    legend = "".join(
        f'<span class="key {style}">{escape(name)}</span>'
        for name, style in styles.items()
    )
    figures = "".join(figure(term, drawn, styles) for term in terms)
    return (
        f'<p class="legend">{legend}</p><div class="plots">{figures}</div>'
        if figures
        else ""
    )


def figure(term: str, curves: Curves, styles: Mapping[str, str]) -> str:
    series = {name: terms[term] for name, terms in curves.items() if terms.get(term)}
    plot = pictures.line_plot(term, series, [styles[name] for name in series])
    return f"<figure><figcaption>{escape(term)} by step</figcaption>{plot}</figure>"


# Queries ----------------------------------------------------------------------------


def queries(page: Page) -> str:
    key = (
        '<p class="note">The line is the whole video.'
        '<i class="swatch predicted"></i>predicted moment'
        '<i class="swatch actual"></i>true moment</p>'
    )
    cards = "".join(example_card(example, page) for example in page.examples)
    return key + cards if cards else ""


def example_card(example: Example, page: Page) -> str:
    facts = [
        f"{name} {value}"
        for name, value in (
            ("objective", example.objective),
            ("query", example.language),
            ("subtitles", example.subtitles),
            ("type", example.kind),
        )
        if value
    ]
    found = "".join(
        hit_row(rank, hit, example) for rank, hit in enumerate(example.hits, 1)
    )
    return (
        f'<article class="query">{asked(example, show_text=page.show_texts)}'
        f'<p class="note">{escape(" · ".join(facts))} · true: '
        f"<b>{escape(example.video_id)}</b>, {seconds(example.moment)}"
        f"{where_found(example)}</p><ol>{found}</ol></article>"
    )


def asked(example: Example, *, show_text: bool) -> str:
    if not show_text:
        return f"<h3>{escape(example.query_id)}</h3>"
    return (
        f'<h3 lang="{escape(example.language)}" dir="auto">{escape(example.query)}</h3>'
    )


def where_found(example: Example) -> str:
    ids = [hit.video_id for hit in example.hits]
    if example.video_id in ids:
        return f", found at rank {ids.index(example.video_id) + 1}"
    return f", not among the first {len(ids)}"


def hit_row(rank: int, hit: Hit, example: Example) -> str:
    is_true = hit.video_id == example.video_id
    images = "".join(
        f'<img src="{data_url(image)}" alt="" loading="lazy">'
        for image in hit.thumbnails
    )
    return (
        f'<li class="{"hit true" if is_true else "hit"}"><div class="name">{rank}. '
        f"<b>{escape(hit.video_id)}</b>{' ✓' if is_true else ''}"
        f"<span>{hit.score:.4g}</span></div>"
        + (f'<div class="strip">{images}</div>' if images else "")
        + timeline(hit, example.moment if is_true else None)
        + "</li>"
    )


def timeline(hit: Hit, moment: tuple[float, float] | None) -> str:
    """The video as a line, the predicted moment on it and, where true, the real one."""
    predicted = (hit.start, hit.end)
    bars = bar("predicted", predicted, hit.duration)
    label = f"predicted {seconds(predicted)}"
    if moment:
        bars += bar("actual", moment, hit.duration)
        label += f", true {seconds(moment)}"
    label += f" of {hit.duration:.1f} s"
    return (
        f'<div class="time" role="img" aria-label="{label}">{bars}</div>'
        f'<p class="note">{label}</p>'
    )


def seconds(moment: tuple[float, float]) -> str:
    return f"{moment[0]:.1f}–{moment[1]:.1f} s"


def bar(kind: str, moment: tuple[float, float], duration: float) -> str:
    left, right = (100 * min(max(t / duration, 0.0), 1.0) for t in moment)
    width = max(right - left, 0.8)
    return f'<i class="{kind}" style="left:{left:.2f}%;width:{width:.2f}%"></i>'


def data_url(image: bytes) -> str:
    """An image inside its own address."""
    for signature, kind in IMAGE_TYPES.items():
        if image.startswith(signature):
            return f"data:{kind};base64,{base64.b64encode(image).decode()}"
    raise ValueError(f"thumbnail: found {image[:4]!r}..., expected a PNG or JPEG file")


# Colours of lines differ in lightness too, and every line has its own dashes.
STYLE = """
:root { color-scheme: light dark;
  --paper: #fbfaf8; --card: #fff; --ink: #1d1c1a; --soft: #66625b; --rule: #e2ded6;
  --heat: #f0a23c; --predicted: #2563c9; --actual: #1a7f64;
  --s0: #2563c9; --s1: #c2571a; --s2: #1a7f64; --s3: #a23c86; --s4: #7a6a00;
  --s5: #5a5fd0; --s6: #8a1c2b }
@media (prefers-color-scheme: dark) { :root {
  --paper: #161513; --card: #201f1c; --ink: #ece9e3; --soft: #a39e94; --rule: #3a3833;
  --heat: #b86a10; --predicted: #7ab0ff; --actual: #4fd1a5;
  --s0: #7ab0ff; --s1: #ff9f68; --s2: #4fd1a5; --s3: #f08fd0; --s4: #d9c64a;
  --s5: #aab0ff; --s6: #ff8b98 } }
* { box-sizing: border-box }
body { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; line-height: 1.5;
  background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
h1 { font-size: 1.7rem; margin: 0 0 .75rem; line-height: 1.2 }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: 1rem;
  border-top: 1px solid var(--rule) }
h3 { font-size: 1.05rem; margin: 1.25rem 0 .25rem; overflow-wrap: anywhere }
.note, small, figcaption { color: var(--soft); font-size: .85rem }
.note { margin: 0 0 .5rem }
.facts { display: flex; flex-wrap: wrap; gap: .4rem 1.75rem; margin: 0 }
.facts dt { color: var(--soft); font-size: .75rem }
.facts dd { margin: 0; font-size: .9rem; overflow-wrap: anywhere }
.grids { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)) }
.heat { justify-self: start }
.heat { border-spacing: 2px; font-variant-numeric: tabular-nums; font-size: .9rem }
.heat caption { text-align: left; font-weight: 600; font-size: .85rem;
  padding: 0 0 .15rem .15rem; white-space: nowrap }
.heat caption small { font-weight: 400; margin-left: .3rem }
.heat th { color: var(--soft); font-weight: 500; padding: .15rem .4rem;
  font-size: .8rem }
.heat tbody td { text-align: right; padding: .3rem .5rem; min-width: 3.2rem;
  border-radius: 4px;
  background: color-mix(in srgb, var(--heat) var(--share), var(--card)) }
details { margin-top: .75rem } summary { cursor: pointer; color: var(--soft) }
details .grids { margin-top: .5rem }
.plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)) }
figure { margin: 0; padding: .75rem; background: var(--card); border-radius: 8px;
  border: 1px solid var(--rule); max-width: 32rem }
figcaption { color: var(--ink); font-weight: 600 }
svg { display: block; width: 100%; height: auto }
svg text { font-size: 11px; fill: var(--soft) }
.x { text-anchor: middle } .y { text-anchor: end }
.grid { stroke: var(--rule) }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .25rem 0 .75rem }
.key::before { content: ""; display: inline-block; width: 1.75rem; margin-right: .4rem;
  vertical-align: .25em; border-top: 3px var(--dash, solid) var(--colour) }
.line { stroke: var(--colour) }
.s0 { --colour: var(--s0) }
.s1 { --colour: var(--s1); --dash: dashed; stroke-dasharray: 7 3 }
.s2 { --colour: var(--s2); --dash: dotted; stroke-dasharray: 2 3 }
.s3 { --colour: var(--s3); --dash: double; stroke-dasharray: 10 3 2 3 }
.s4 { --colour: var(--s4); --dash: dashed; stroke-dasharray: 4 2 }
.s5 { --colour: var(--s5); --dash: dotted; stroke-dasharray: 1 3 }
.s6 { --colour: var(--s6); --dash: dashed; stroke-dasharray: 12 4 }
.query { background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  padding: .5rem 1rem 1rem; margin: 1rem 0 }
.query h3 { margin-top: .5rem; font-size: 1.15rem }
.query ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .75rem }
.hit { padding: .5rem .75rem; border-radius: 6px; border: 1px solid var(--rule);
  min-width: 0 }
.true { border-color: var(--actual) }
.name { display: flex; gap: .5rem; overflow-wrap: anywhere }
.name span { margin-left: auto; color: var(--soft); font-variant-numeric: tabular-nums }
.strip { display: flex; overflow-x: auto; margin: .35rem 0; gap: 2px }
.strip img { height: 3.5rem; flex: none; border-radius: 3px; image-rendering: auto }
.time { position: relative; height: 1.1rem; margin: .4rem 0 .15rem;
  background: color-mix(in srgb, var(--soft) 18%, var(--card)); border-radius: 3px }
.time i { position: absolute; height: 42%; border-radius: 2px }
.predicted { top: 5%; background: var(--predicted) }
.actual { bottom: 5%; background: var(--actual) }
.swatch { display: inline-block; width: .8rem; height: .55rem; border-radius: 2px;
  margin: 0 .3rem 0 .8rem }
"""
