"""Leave-one-out on a generated miniature in the format of mTVR; the real by name."""

import pytest

from experiments.crosslingual import mtvr_loo
from experiments.crosslingual.mtvr_loo import MtvrLoo
from hero_jax import report
from hero_jax.errors import UserError
from tests.experiments.mtvr_releases import NOUNS, write_release


def test_the_language_matrix_stands_beside_bm25(tmp_path, capsys):
    release = tmp_path / "release"
    release.mkdir()
    config = MtvrLoo(
        data_dir=write_release(release),
        run_dir=tmp_path / "run",
        steps=2,
        batch_size=8,
        parallel_batch_size=8,
        width=16,
    )
    results = mtvr_loo.run(config)
    saved, meta = report.read_results(tmp_path / "run" / "results.json")
    assert saved == report.plain(results)
    assert set(results) == {"vsm", "BM25"}
    for name in ("vsm", "BM25"):
        for asked in ("en", "zh"):
            assert {"en", "zh"} <= set(results[name][asked])
            assert results[name][asked]["en"]["num_videos"] == 8
    mono, cross = (results["BM25"]["en"][s]["VR"]["MRR"] for s in ("en", "zh"))
    assert mono > cross
    assert "not mTVR" in meta["dataset"]
    assert "40 videos, 200 queries" in capsys.readouterr().out
    page = (tmp_path / "run" / "report.html").read_text()
    assert not any(noun in page for noun in NOUNS["zh"])


def test_a_release_without_its_parallel_texts_is_refused_by_name(tmp_path):
    write_release(tmp_path)
    for split in ("test_public", "test_challenge"):
        (tmp_path / f"tvr_zh_en_{split}_release.jsonl").unlink()
    config = MtvrLoo(data_dir=tmp_path, run_dir=tmp_path / "run", steps=2)
    with pytest.raises(UserError, match="found no texts of tvr_zh_en_test_public"):
        mtvr_loo.run(config)


@pytest.mark.slow
def test_real_text_is_found_across_languages(tmp_path, shared):
    """At least what a plain bilingual text encoder reached (VR MRR, 400 videos)."""
    config = MtvrLoo(data_dir=shared / "data" / "mtvr", run_dir=tmp_path)
    matrix = mtvr_loo.run(config)["vsm"]
    floor = {"en": {"en": 0.32, "zh": 0.25}, "zh": {"en": 0.25, "zh": 0.29}}
    for asked, row in floor.items():
        for read, least in row.items():
            assert matrix[asked][read]["VR"]["MRR"] >= least, (asked, read)
