"""Releases with one mistake, built by the command: whole, or refused in one line."""

import copy
import json
import shutil

import numpy as np
import pytest

from data_pipelines import build
from data_pipelines.corpus import open_corpus
from tests.data_pipelines import miniature
from tests.data_pipelines.readers.test_mutations import mutated

DEEP: list = []
for _ in range(50):
    DEEP = [DEEP]
JUNK = [
    *(None, True, False, 0, -1, 1, 1.5, 7, 10**17, 10**30, 1e300, -0.0, 61.46),
    *(float("nan"), float("inf"), float("-inf"), "", " ", "7", "007", "v0", "v9"),
    *("../v0", "a/b", ".", "..", "v0\x00", "NaN", "0-3", "\u200b", "x" * 3000),
    *("a\ud800b", "&nbsp;", "\u202e", "😀", [], [1], [3, 1], [0, 1e9], [None, 2]),
    *([1, 2, 3], ["1", "2"], {}, {"en": "a"}, {"en": None}, {"xx": "a"}, {"": "a"}),
    *({"zh": "a", "google_zh": "b", "zh-x-google": "c"}, DEEP, "en", "val", "vt"),
]


def places(value, path=()):
    """The path of every value inside a JSON value."""
    pairs = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    return [path, *(p for key, one in pairs for p in places(one, (*path, key)))]


def injured(value, rng):
    """The JSON value with one field replaced, removed, renamed or doubled."""
    value = copy.deepcopy(value)
    *path, key = [p for p in places(value) if p][rng.integers(len(places(value)) - 1)]
    parent = value
    for step in path:
        parent = parent[step]
    junk = copy.deepcopy(JUNK[rng.integers(len(JUNK))])
    match rng.integers(5):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[str(junk)[:20]] = parent.pop(key)
        case 1:
            parent.append(parent[key])
        case _:
            parent[key] = junk
    return value


def injure_json(file, rng):
    """One mistake in a line, or in the order, number or ends of lines."""
    if file.suffix == ".json":
        value = injured(json.loads(file.read_text()), rng)
        file.write_text(json.dumps(value), errors="surrogatepass")
        return
    lines = file.read_text().splitlines()
    at = int(rng.integers(len(lines)))
    row = json.dumps(injured(json.loads(lines[at]), rng))
    lines[at : at + 1] = [
        [row], [row], [row], [row], [lines[at], row], [lines[at], "", lines[at]],
        ["", " \t", lines[at]], [lines[at][: len(lines[at]) // 2]], [lines[at], "[1]"],
    ][rng.integers(9)]  # fmt: skip
    end = ["\n", "\n", "\r\n"][rng.integers(3)]
    start = ["", "", "\ufeff"][rng.integers(3)]
    file.write_text(start + end.join(lines) + end, newline="")


def injure_srt(file, rng):
    old = ["00:00:00,500", "00:00:01,900", "-->", "1\n", "\n\n", "00:00:04,250", "\n"]
    new = ["00:00:09,000", "99:99:99,999", "00:00:00,000", "", "\x00", "\r\n", "NaN",
           "-00:00:01,000", "00:00:04", "\n", "\ufeff", "23:59:59,999"]  # fmt: skip
    text = file.read_text()
    word, other = old[rng.integers(len(old))], new[rng.integers(len(new))]
    file.write_text(text.replace(word, other, int(rng.integers(1, 3))), newline="")


def injure(release, rng):
    """One file with a mistake: the field, the bytes, or the file as a whole."""
    files = sorted(path for path in release.rglob("*") if path.is_file())
    file = files[rng.integers(len(files))]
    if rng.random() < 0.1:
        file.unlink()
        if rng.random() < 0.5:
            file.mkdir()
    elif rng.random() < 0.3 or file.suffix == ".npz":
        file.write_bytes(mutated(file.read_bytes(), rng))
    elif file.suffix == ".srt":
        injure_srt(file, rng)
    else:
        injure_json(file, rng)
    return file


def write_release(dataset, folder):
    if dataset == "microtv":
        miniature.write_features(folder / "features")
        miniature.write_microtv(folder)
        return ["--features", folder / "features"]
    miniature.write_mtvr(folder)
    if dataset == "mtvr_tvc":
        miniature.write_captions(folder)
    line = {"text": {"en": "Hi.", "zh": "嗨。"}, "start": 1, "end": 2.5}
    rows = [{"vid_name": f"v{i}", "sub": [line, line]} for i in range(9)]
    miniature.write_lines(folder / "tvqa_preprocessed_subtitles.jsonl", rows)
    return []


def counted(out):
    """Videos, queries, parallel texts and subtitle lines of the built dataset."""
    (manifest,) = out.glob("*/corpus.json")
    splits = json.loads(manifest.read_text())["splits"]
    corpora = [open_corpus(out, manifest.parent.name, split) for split in splits]
    lines = [s for c in corpora for v in c.videos for s in v.subtitles.values()]
    sizes = [(len(c.videos), len(c.queries), len(c.parallel)) for c in corpora]
    return [*np.sum(sizes, axis=0).tolist(), sum(map(len, lines))]


def try_one(folder, dataset, seed, capsys):
    """(file with the mistake, exit code, what was said, what was built)."""
    shutil.rmtree(folder, ignore_errors=True)
    release, out = folder / "raw", folder / "out"
    options = write_release(dataset, release)
    file = injure(release, np.random.default_rng(seed))
    where = ["--data_dir", release, "--out", out, *options]
    code = build.main([dataset, *map(str, where)])
    said = capsys.readouterr().err
    if code:
        assert code == 2, said
        assert said.startswith(f"error: {release}")
        assert said.count("\n") == 1
        assert said.strip().isprintable()
        left = {path.name for path in out.iterdir()}
        assert all(name.startswith(".") for name in left), left
        return file, code, said, []
    return file, code, said, counted(out)


def check(folder, dataset, seeds, capsys):
    refused = sum(try_one(folder, dataset, s, capsys)[1] == 2 for s in seeds)
    assert refused > 0.4 * len(seeds)


@pytest.mark.parametrize("dataset", ["microtv", "mtvr", "mtvr_loo", "mtvr_tvc"])
def test_a_release_with_a_mistake_is_built_or_refused(tmp_path, capsys, dataset):
    check(tmp_path, dataset, range(60), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ["microtv", "mtvr", "mtvr_loo", "mtvr_tvc"])
def test_many_releases_with_a_mistake_are_built_or_refused(tmp_path, capsys, dataset):
    check(tmp_path, dataset, range(100, 1600), capsys)
