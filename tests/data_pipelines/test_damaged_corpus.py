"""Built datasets with random damage: opened as they were, or refused in one line."""

import numpy as np
import pytest

from data_pipelines.build import build_dataset
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import InputError
from tests.data_pipelines import miniature
from tests.data_pipelines.readers.test_mutations import mutated

NAMES = ["corpus.json", "dataset_info.json", "features.json", "test.array_record"]


def read(out):
    corpus = open_corpus(out, "microtv", "test")
    return corpus.videos, corpus.queries, [x.tobytes() for x in corpus.features]


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_dataset_is_whole_or_refused(tmp_path, name):
    features = miniature.write_features(tmp_path / "features")
    release = miniature.write_microtv(tmp_path / "raw")
    out = tmp_path / "out"
    build_dataset("microtv", data_dir=release, out=out, features=features)
    original = read(out)
    files = sorted(path for path in out.rglob("*") if name in path.name)
    rng = np.random.default_rng(0)
    refusals = []
    for i in range(25):
        file = files[i % len(files)]
        raw = file.read_bytes()
        file.write_bytes(mutated(raw, rng))
        try:
            assert read(out) == original
        except InputError as error:
            refusals.append(str(error))
        file.write_bytes(raw)
    assert len(refusals) > 15
    assert not any("\n" in refusal for refusal in refusals)
