"""The page: what it shows, and that it shows it without asking anybody."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hero_jax import pictures, report, report_html

NASTY = "<script src='https://evil.example/x.js'>alert(\"1\")</script> & // {{x}}"


def cell(mrr, *, is_local=True):
    moments = {"0.5": {"R@1": 41.26}, "0.7": {"R@1": 20.0}} if is_local else None
    return {
        "VR": {"R@1": 10.0, "MRR": mrr},
        "SVMR": moments,
        "VCMR": moments,
        "by_type": {"v": {"VR": {"MRR": mrr / 2}}},
        "num_queries": 30,
        "num_videos": 10,
        "chance": {"VR": {"MRR": 0.2929}},
    }


RESULTS = {
    "vsm": {"en": {"none": cell(0.25), "en": cell(0.612)}},
    "info_nce": {"en": {"en": cell(0.7, is_local=False)}},
}
PIXELS = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
HIT = report.Hit("tv_2", 0.75, 10.0, 20.0, 40.0, (pictures.png(PIXELS),))
EXAMPLE = report.Example(
    query_id="q1",
    query="who takes the red cup?",
    language="en",
    kind="vt",
    video_id="tv_2",
    moment=(12.0, 20.0),
    hits=(dataclasses.replace(HIT, video_id="tv_1", thumbnails=()), HIT),
    objective="vsm",
    subtitles="zh",
)
PAGE = report_html.Page(
    title="a run",
    results=RESULTS,
    meta={"seed": 0, "versions": {"jax": "0.10"}},
    curves={"vsm": {"loss": [(0, 2.0), (10, 1.0)]}, "info_nce": {"loss": [(0, 3.0)]}},
    examples=(EXAMPLE,),
)


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains about a tag left open."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "".join(self.texts)


def nasty_page():
    """Every text that comes from outside is markup with an address in it."""
    hit = report.Hit(NASTY, 0.5, 1.0, 2.0, 4.0, (pictures.png(PIXELS),))
    example = report.Example(
        NASTY, NASTY, NASTY, NASTY, NASTY, (1.0, 2.0), (hit,), NASTY, NASTY
    )
    inner = cell(0.5) | {"by_type": {NASTY: cell(0.5)}}
    return report_html.Page(
        title=NASTY,
        results={NASTY: {NASTY: {NASTY: inner}}},
        meta={NASTY: NASTY, "versions": {NASTY: NASTY}},
        curves={NASTY: {NASTY: [(0, 1.0)]}},
        examples=(example,),
    )


def test_text_from_outside_stays_text():
    page = Page(report_html.render(nasty_page()))
    assert "script" not in page.tags
    assert page.text.count(NASTY) >= 12


@pytest.mark.parametrize("page", [PAGE, nasty_page()], ids=["plain", "nasty"])
def test_the_page_requests_nothing(page):
    parsed = Page(report_html.render(page))
    forbidden = {"link", "script", "iframe", "object", "embed", "base", "form", "a"}
    assert not forbidden & set(parsed.tags)
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on")
        assert name not in ("href", "xlink:href", "srcset", "action", "poster")
        if name == "src":
            assert tag == "img"
            assert value.startswith("data:image/")
        if name == "style":
            assert "url" not in value
    assert not re.search(r"url\(|@import", report_html.STYLE)
    policy = next(v for _, name, v in parsed.attributes if name == "content")
    assert policy.startswith("default-src 'none';")


def test_a_plain_page_names_no_address_at_all():
    assert not re.search(r"https?:|//", report_html.render(PAGE))


def test_the_page_shows_matrices_curves_and_queries():
    text = Page(report_html.render(PAGE)).text
    for expected in (
        "VR MRR chance .293",
        ".612",
        "SVMR, VCMR: no local objective",
        "loss by step",
        "who takes the red cup?",
        "found at rank 2",
        "predicted 10.0–20.0 s, true 12.0–20.0 s of 40.0 s",
    ):
        assert expected in text


def test_moments_are_bars_in_proportion_to_the_video():
    text = report_html.render(PAGE)
    assert '<i class="predicted" style="left:25.00%;width:25.00%">' in text
    assert '<i class="actual" style="left:30.00%;width:20.00%">' in text
    assert text.count('class="actual"') == 1  # the true moment belongs to its video


def test_texts_can_be_withheld():
    page = dataclasses.replace(PAGE, show_texts=False)
    text = Page(report_html.render(page)).text
    assert "red cup" not in text
    assert "q1" in text


def test_without_thumbnails_curves_or_queries_there_is_still_a_page():
    hit = report.Hit("tv_1", 0.5, 1.0, 2.0, 40.0)
    bare = dataclasses.replace(EXAMPLE, hits=(hit,))
    page = Page(report_html.render(dataclasses.replace(PAGE, examples=(bare,))))
    assert "not among the first 1" in page.text
    assert "img" not in page.tags
    empty = report_html.render(dataclasses.replace(PAGE, curves={}, examples=()))
    assert "<h2>Training</h2>" not in empty
    assert "<h2>Queries</h2>" not in empty


def test_a_thumbnail_that_is_no_image_is_refused():
    with pytest.raises(ValueError, match="expected a PNG or JPEG"):
        report_html.data_url(b"<svg onload=alert(1)>")


def test_the_page_is_written_in_one_step(tmp_path):
    report_html.write_report(tmp_path / "report.html", PAGE)
    assert (tmp_path / "report.html").read_text("utf-8") == report_html.render(PAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
