"""The newer corpora of the study, from miniatures of their files."""

import dataclasses

import numpy as np
import pytest

from experiments.crosslingual import controls, corpora, study
from experiments.crosslingual.grid import Cell, Grid
from experiments.crosslingual.study import Study
from hero_jax.errors import UserError
from hero_jax.losses.info_nce import InfoNCE
from hero_jax.pipeline import Pipeline
from tests.data_pipelines import miniature
from tests.experiments.mtvr_releases import write_captions, write_release

NEW = ("mtvr_tvc", "vatex_loo", "mtvr_loo_synthetic", "mtvr_loo_translated")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    (mtvr := folder / "mtvr").mkdir()
    write_captions(write_release(mtvr))
    return Study(
        out=folder / "out",
        work=folder / "work",
        mtvr_loo=mtvr,
        mtvr_tvc=mtvr,
        vatex_loo=miniature.write_vatex(folder / "vatex"),
    )


def prepared(config, name):
    return corpora.prepare(name, study._raw(config, name), config.work)


@pytest.mark.parametrize("name", NEW)
def test_a_corpus_is_read_as_its_fields_say(config, name):
    source = prepared(config, name)
    assert source.dataset == f"{name}_fold0"
    task = corpora.retrieval(name, source)(objective=InfoNCE(), span=None)
    task = dataclasses.replace(task, batch_size=4)
    batch = Pipeline(task, name="moments", seed=0).batch(0)
    assert batch.queries.mask.all() and len(batch.video_of) == 8
    assert (batch.span == -1).all() == (name == "vatex_loo")
    seen = np.any(batch.videos.features != 0)
    assert seen == (name == "mtvr_loo_synthetic")


def test_synthetic_frames_are_made_once_and_called_synthetic(config):
    source = prepared(config, "mtvr_loo_synthetic")
    features = list((config.work / "features").rglob("*.npz"))
    dates = [path.stat().st_mtime_ns for path in features]
    assert len(dates) == 40
    assert prepared(config, "mtvr_loo_synthetic") == source
    assert dates == [path.stat().st_mtime_ns for path in features]
    corpus = source.open("test").corpus
    visual = corpora.visual_of("mtvr_loo_synthetic", corpus, 1.0)
    assert visual == "synthetic, signal-to-noise 1.0, seed 0"
    assert corpus.feature_width == 64


def test_the_share_of_noise_can_be_chosen(config, tmp_path):
    """And its cells are those of another dataset, which no table mixes."""
    louder = dataclasses.replace(config, work=tmp_path, signal_to_noise=4.0)
    sources = [study.source_of(one, "mtvr_loo_synthetic") for one in (config, louder)]
    frames = [s.open("train").corpus.features[0] for s in sources]
    assert np.linalg.norm(frames[1]) > 2 * np.linalg.norm(frames[0])
    assert sources[0].fingerprint("test") != sources[1].fingerprint("test")


def test_a_corpus_without_its_release_is_refused_by_the_option_that_names_it(config):
    for name, option in (("mtvr_loo_synthetic", "mtvr_loo"), ("mtvr_tvc", "mtvr_tvc")):
        with pytest.raises(UserError, match=rf"--{option}: found none"):
            corpora.prepare(name, None, config.work)


def test_controls_read_english_captions_alone(config):
    source = prepared(config, "mtvr_tvc")
    train, test = (source.open(split).corpus for split in ("train", "test"))
    ranks = controls.ranks(test, controls.translators(train, test))
    assert set(ranks["words"]["en"]) == set(ranks["words"]["zh"]) == {"en"}
    found, crossed = (np.array(ranks["words"][code]["en"]) for code in ("en", "zh"))
    assert len(found) == len(test.queries)
    assert np.mean(1 / found) > 2 * np.mean(1 / crossed)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_a_cell_is_trained_and_measured(config, name):
    cell = Cell("confirmatory", name, "vsm", 0, 0, 2)
    record = study.run_cell(config, Grid(width=8, batch_size=4), cell)
    reads = {"en", "none"} if name == "mtvr_tvc" else {"en", "zh", "none"}
    for asked in ("en", "zh"):
        assert set(record["ranks"][asked]) == reads
        for found in record["ranks"][asked].values():
            assert len(found["VR"]) == len(record["videos"])
            assert (found["VCMR"] is None) == (name == "vatex_loo")
    assert bool(record["diagnostics"]["mixed"]) == (name != "mtvr_tvc")
