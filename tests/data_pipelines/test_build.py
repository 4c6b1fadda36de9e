import json
import multiprocessing
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_pipelines import build
from data_pipelines.build import build_dataset
from data_pipelines.builders import shards
from data_pipelines.corpus import open_corpus
from data_pipelines.readers.errors import BusyError, InputError
from data_pipelines.schema import Query, Subtitle, Video
from tests.data_pipelines import miniature

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def release(tmp_path):
    miniature.write_features(tmp_path / "features")
    return miniature.write_microtv(tmp_path / "raw")


def build_microtv(release, **options):
    where = {"data_dir": release, "out": release.parent / "out"}
    options = {"features": release.parent / "features", **where, **options}
    return build_dataset("microtv", **options)


def opened(release, split="test"):
    return open_corpus(release.parent / "out", "microtv", split)


def test_records_come_back_as_they_went_in(release):
    build_microtv(release)
    corpus = opened(release)
    assert [v.video_id for v in corpus.videos] == ["v4", "v5"]
    assert corpus.videos[0] == Video(
        video_id="v4",
        duration=13.4,
        interval=1.5,
        num_frames=9,
        subtitles={
            "en": (
                Subtitle("Good morning.", 0.5, 1.9),
                Subtitle("The key is in the box.", 2.0, 4.25),
            ),
            "zh": (
                Subtitle("早上好。", 0.5, 1.9),
                Subtitle("钥匙在盒子里。", 2.0, 4.25),
            ),
        },
    )
    assert corpus.queries[1] == Query(
        query_id="5",
        texts={"en": "Ann opens the box number 5.", "zh": "安打开第5个盒子。"},
        video_id="v5",
        moments=((1.0, 2.25),),
        kind="vt",
    )
    assert corpus.languages == ("en", "zh")
    assert corpus.parallel == ()


def test_frames_come_back_as_they_went_in(release):
    build_microtv(release)
    corpus = opened(release, "train")
    assert corpus.feature_width == miniature.WIDTH
    assert len(corpus.features) == 3
    for video, frames in zip(corpus.videos, corpus.features, strict=True):
        np.testing.assert_array_equal(frames, miniature.frames_of(video.video_id))
        assert frames.dtype == np.float32
    np.testing.assert_array_equal(corpus.features[-1], corpus.features[2])
    assert len(corpus.features[1:]) == 2
    with pytest.raises(IndexError):
        corpus.features[3]


def test_half_precision_frames_stay_so_on_disk(release):
    for file in (release.parent / "features").iterdir():
        np.savez(file, features=np.load(file)["features"].astype(np.float16))
    built = build_microtv(release)
    assert built.manifest.feature_dtype == "float16"
    frames = opened(release).features[0]
    expected = miniature.frames_of("v4").astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(frames, expected)


def test_features_pickle_without_their_files(release):
    build_microtv(release)
    features = opened(release).features
    before = features[1]
    pickled = pickle.dumps(features)
    assert len(pickled) < 2000
    np.testing.assert_array_equal(pickle.loads(pickled)[1], before)


def test_another_process_reads_the_same_frames(release):
    build_microtv(release)
    features = opened(release).features
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        (there,) = pool.map(features.__getitem__, [1])
    np.testing.assert_array_equal(there, features[1])


def test_the_fingerprint_depends_on_records_and_not_on_workers(release, monkeypatch):
    monkeypatch.setattr("data_pipelines.builders.shards.FILES_PER_WORKER", 2)
    monkeypatch.setattr("data_pipelines.builders.base.TEXT_RECORDS", 2)
    monkeypatch.setattr("data_pipelines.builders.base.FEATURE_BYTES", 150)
    alone = release.parent / "alone"
    build_microtv(release, out=alone, workers=1)
    built = build_microtv(release, workers=2)
    names = [name for name in built.manifest.files if name.startswith("features/")]
    assert len([name for name in names if "-of-" in name]) == 5
    for split in miniature.SPLITS:
        one, two = open_corpus(alone, "microtv", split), opened(release, split)
        assert one.fingerprint == two.fingerprint
        assert one.videos == two.videos
        for a, b in zip(one.features, two.features, strict=True):
            np.testing.assert_array_equal(a, b)
    assert opened(release).fingerprint != opened(release, "val").fingerprint


def test_the_same_build_again_touches_nothing(release):
    first = build_microtv(release)
    manifest = release.parent / "out" / "microtv" / "corpus.json"
    before = manifest.stat().st_mtime_ns
    again = build_microtv(release)
    assert (first.is_new, again.is_new) == (True, False)
    assert manifest.stat().st_mtime_ns == before


def test_a_changed_release_is_built_anew(release):
    build_microtv(release)
    before = opened(release).fingerprint
    file = release / "annotations" / "tvr_test.jsonl"
    file.write_text(file.read_text().replace("Ann", "Bea"))
    assert build_microtv(release).is_new
    assert opened(release).queries[0].texts["en"].startswith("Bea")
    assert opened(release).fingerprint != before
    assert leftovers(release) == []


def leftovers(release):
    names = sorted(path.name for path in (release.parent / "out").iterdir())
    return [name for name in names if name not in ("microtv", ".microtv.lock")]


def test_videos_without_features_are_as_many_zeros_as_they_last(tmp_path):
    release = miniature.write_mtvr(tmp_path / "raw")
    build_dataset("mtvr", data_dir=release, out=tmp_path / "out", interval=2.0)
    corpus = open_corpus(tmp_path / "out", "mtvr", "val")
    assert corpus.feature_width == 8
    assert [v.num_frames for v in corpus.videos] == [4, 5, 6, 6, 7]
    assert corpus.features[2].shape == (6, 8)
    assert not corpus.features[2].any()
    assert not (tmp_path / "out" / "mtvr" / "features").exists()


# What open_corpus says about a dataset that is not as it was built.


def damaged(release, pattern, change):
    (path,) = (release.parent / "out" / "microtv").glob(pattern)
    change(path)
    with pytest.raises(InputError) as error:
        opened(release)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


TEXT = "queries/1.0.0/microtv-test.array_record-00000-of-00001"
FRAMES = "features/1.0.0/microtv-test.array_record-00000-of-00001"


def flip(path, at=-200):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("pattern", [TEXT, FRAMES, "videos/1.0.0/dataset_info.json"])
def test_a_missing_file_is_named(release, pattern):
    build_microtv(release)
    assert "is missing" in damaged(release, pattern, Path.unlink)


@pytest.mark.parametrize("pattern", [TEXT, FRAMES, "queries/1.0.0/features.json"])
def test_a_short_file_is_named(release, pattern):
    build_microtv(release)

    def shorten(path):
        path.write_bytes(path.read_bytes()[:-7])

    assert "was built with" in damaged(release, pattern, shorten)


@pytest.mark.parametrize("pattern", [TEXT, "queries/1.0.0/dataset_info.json"])
def test_a_changed_file_is_named(release, pattern):
    build_microtv(release)
    assert "was changed" in damaged(release, pattern, lambda path: flip(path, at=100))


def test_changed_frames_are_noticed_when_they_are_read(release):
    build_microtv(release)
    path = release.parent / "out" / "microtv" / FRAMES
    raw = bytearray(path.read_bytes())
    at = raw.index(miniature.frames_of("v4").tobytes())
    raw[at + 5] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="record 0 of test is damaged"):
        opened(release).features[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 7}, "schema_version: found 7, this program reads 1"),
        ({"schema_version": [1]}, r"schema_version: found \[1\], this program"),
        ({"languages": ["xx"]}, "corpus.json: was changed after it was built"),
        ({"files": 3}, "corpus.json: was changed after it was built"),
    ],
)
def test_a_foreign_manifest_is_refused(release, change, message):
    build_microtv(release)
    path = release.parent / "out" / "microtv" / "corpus.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        opened(release)


def test_records_of_another_schema_are_refused(release, monkeypatch):
    monkeypatch.setattr("data_pipelines.builders.records.SCHEMA_VERSION", 2)
    build_microtv(release)
    monkeypatch.undo()
    with pytest.raises(InputError, match="found 2, this program reads 1"):
        opened(release)


def test_a_wrong_name_is_answered_with_the_right_ones(release):
    build_microtv(release)
    with pytest.raises(InputError, match="no dataset 'mtvr' here, found microtv"):
        open_corpus(release.parent / "out", "mtvr", "test")
    with pytest.raises(InputError, match="expected one of train, val, test"):
        opened(release, "dev")


# Two builds at once, and builds that are killed.


def test_a_second_build_is_told_who_is_at_it(release):
    with build._only_builder(release.parent / "out", "microtv"):
        with pytest.raises(BusyError) as error:
            build_microtv(release)
        assert f"process {os.getpid()} on" in str(error.value)
    assert error.value.exit_code == 75
    build_microtv(release)


# A build that stops for good when it comes to the n-th file to write.
SLOW_BUILD = """
import os, sys, time
from data_pipelines.builders import base, shards
base.FEATURE_BYTES = base.TEXT_RECORDS = 1
written = 0
def write_shard(job, real=shards.write_shard):
    global written
    if written == int(sys.argv[3]):
        shards._write(job, job.path.parent / f"half.{os.getpid()}{shards.TEMPORARY}")
        os.write(1, b"ready\\n")
        time.sleep(600)
    real(job)
    written += 1
shards.write_shard = write_shard
from data_pipelines.build import main
main(["microtv", "--data_dir", sys.argv[1], "--out", sys.argv[2],
      "--features", sys.argv[1] + "/../features"])
"""


def kill_after(release, num_files):
    """Starts a build and kills it when so many record files are finished."""
    out = release.parent / "out"
    command = [sys.executable, "-c", SLOW_BUILD, release, out, str(num_files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)


def test_a_killed_build_leaves_nothing_and_the_next_one_takes_it_up(
    release, monkeypatch
):
    kill_after(release, 15)
    with pytest.raises(InputError, match="found none"):
        opened(release)
    monkeypatch.setattr("data_pipelines.builders.base.FEATURE_BYTES", 1)
    monkeypatch.setattr("data_pipelines.builders.base.TEXT_RECORDS", 1)
    written = []
    real = shards.write_shard
    monkeypatch.setattr(
        shards, "write_shard", lambda job: (written.append(job), real(job))
    )
    build_microtv(release)
    # Six videos, six queries and six feature files; fifteen stood finished.
    assert len(written) == 3
    assert leftovers(release) == []
    for split, ids in miniature.SPLITS.items():
        corpus = opened(release, split)
        assert tuple(v.video_id for v in corpus.videos) == ids
        np.testing.assert_array_equal(corpus.features[0], miniature.frames_of(ids[0]))


def test_a_killed_build_leaves_the_old_dataset(release):
    build_microtv(release)
    before = opened(release)
    file = release / "annotations" / "tvr_test.jsonl"
    file.write_text(file.read_text().replace("Ann", "Bea"))
    kill_after(release, 3)
    assert opened(release).queries == before.queries
    build_microtv(release)
    assert opened(release).queries[0].texts["en"].startswith("Bea")


def test_a_build_killed_between_its_two_renames_is_mended_by_the_next(release):
    build_microtv(release)
    out = release.parent / "out"
    before = opened(release)
    (out / "microtv").rename(out / ".microtv.previous")
    assert not build_microtv(release).is_new
    assert opened(release).queries == before.queries
    assert leftovers(release) == []


def test_what_a_killed_build_of_other_records_left_is_swept(release):
    kill_after(release, 5)
    file = release / "annotations" / "tvr_test.jsonl"
    file.write_text(file.read_text().replace("Ann", "Bea"))
    build_microtv(release)
    assert opened(release).queries[0].texts["en"].startswith("Bea")
    assert leftovers(release) == []


@pytest.mark.slow
def test_a_build_killed_at_any_moment_leaves_old_or_new(release):
    """Two workers, killed after a random time; their own end is checked as well."""
    build_microtv(release)
    texts = {opened(release).queries[0].texts["en"]}
    file = release / "annotations" / "tvr_test.jsonl"
    rng = np.random.default_rng(0)
    for i in range(25):
        text = f"{i} boxes are opened."
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows[0]["descs"]["en"] = text
        miniature.write_lines(file, rows)
        texts.add(text)
        options = {"data_dir": release, "out": release.parent / "out", "workers": 2}
        options["features"] = release.parent / "features"
        words = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "data_pipelines.build", "microtv", *words]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
            time.sleep(rng.uniform(0.5, 4))
            process.kill()
        out = release.parent / "out"
        if (out / "microtv").exists():
            assert opened(release).queries[0].texts["en"] in texts
    build_microtv(release)
    assert opened(release).queries[0].texts["en"] == text


def test_workers_end_with_a_killed_build(tmp_path):
    script = (
        "import multiprocessing, time, os\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from data_pipelines.workers import begin\n"
        "context = multiprocessing.get_context('spawn')\n"
        "pool = ProcessPoolExecutor(1, context, initializer=begin)\n"
        "print(pool.submit(os.getpid).result(), flush=True)\n"
        "time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        worker = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{worker}").exists() and is_running(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def test_a_full_disk_is_one_line_and_the_finished_files_are_kept(
    release, capsys, monkeypatch
):
    def limit(job, real=shards.write_shard):
        if job.kind == "features":
            # A file of more than this many bytes cannot be written, as on a full disk.
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        real(job)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    where = ("--data_dir", release, "--out", release.parent / "out")
    features = ("--features", release.parent / "features")
    monkeypatch.setattr(shards, "write_shard", limit)
    try:
        code, _, error = run(capsys, "microtv", *where, *features)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 75
    assert "File too large" in error
    assert error.count("\n") == 1
    monkeypatch.undo()
    assert build_microtv(release).is_new
    assert len(opened(release).features) == 2


def test_a_killed_worker_is_one_line(tmp_path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from data_pipelines.builders import shards\n"
        "from data_pipelines.readers.errors import BusyError\n"
        "class Deadly:\n"
        "    def __reduce__(self):\n"
        "        return os.abort, ()\n"
        "out = Path(sys.argv[1])\n"
        "jobs = [shards.Job(out / str(i), 'parallel', [Deadly()]) for i in range(8)]\n"
        "try:\n"
        "    shards.write_shards(jobs, 2)\n"
        "except BusyError as error:\n"
        "    print(error)\n"
    )
    command = [sys.executable, "-c", script, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert "one of 2 processes was killed" in done.stdout


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# The command.


def run(capsys, *arguments):
    code = build.main([str(a) for a in arguments])
    return code, *capsys.readouterr()


def test_the_command_says_what_it_built(release, capsys):
    where = ("--data_dir", release, "--out", release.parent / "out")
    features = ("--features", release.parent / "features")
    code, said, warned = run(capsys, "microtv", *where, *features)
    assert code == 0
    assert "test: 2 videos, 2 queries" in said
    assert "features 3 wide" in said
    assert warned == ""


def test_oddities_are_counted_on_stderr(release, capsys):
    file = release / "subtitles" / "v0.en.srt"
    file.write_text(file.read_text().replace("01,900", "03,000"))
    where = ("--data_dir", release, "--out", release.parent / "out")
    features = ("--features", release.parent / "features")
    code, _, warned = run(capsys, "microtv", *where, *features)
    assert code == 0
    assert warned.startswith("warning: 1 x subtitles that overlap the one before, kept")
    assert "v0.en.srt:6" in warned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data_dir", "nowhere"), "nowhere: --data_dir: is not a directory"),
        (("--features", "nowhere"), "nowhere: --features: is not a directory"),
        (("--interval", "0"), "--interval: found 0, expected seconds from 0.01"),
        (("--interval", "nan"), "--interval: found nan"),
        (("--workers", "0"), "--workers: found 0, expected 1 or more"),
        (("--fold", "5"), "--fold: found 5, expected 0, 1, 2, 3 or 4"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(release, capsys, options, message):
    where = ("--data_dir", release, "--out", release.parent / "out")
    code, said, error = run(capsys, "microtv", *where, *options)
    assert (code, said) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_an_out_that_is_a_file_is_refused(release, capsys):
    (release / "file").touch()
    where = ("--data_dir", release, "--out", release / "file")
    code, _, error = run(capsys, "microtv", *where)
    assert code == 2
    assert "--out: cannot be written" in error
