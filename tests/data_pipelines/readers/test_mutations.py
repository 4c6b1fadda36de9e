"""Files with random damage: read, or refused in one line; nothing else ever happens."""

from pathlib import Path

import numpy as np
import pytest

from data_pipelines.readers.annotations import read_annotations, read_durations
from data_pipelines.readers.errors import InputError, Tally
from data_pipelines.readers.features import read_features
from data_pipelines.readers.subtitles import read_subtitle_file, read_subtitle_lines
from tests.data_pipelines import miniature

# What breaks readers that trust their files.
TOKENS = [
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"9" * 5000, b"0.0"),
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\ud800", b"\\u0000"),
    *(b"\n", b"\n\n", b"\r", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b" --> "),
    *(b"[" * 3000, b'{"a":' * 3000, "‮‍​".encode(), b"PK\x01\x02", b"99:99:99,999"),
    *(b"\x93NUMPY", b"(-1, 3)", b"|O", b"<f8", b">c16", b"features.npy", b"\xff" * 8),
]


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four random injuries."""
    for _ in range(rng.integers(1, 5)):
        start, end = sorted(rng.integers(0, len(raw) + 1, 2))
        end = min(end, start + int(rng.integers(1, 40)))
        token = TOKENS[rng.integers(len(TOKENS))]
        flipped = bytes(b ^ (1 << int(rng.integers(8))) for b in raw[start : start + 1])
        raw = [
            raw[:start] + token + raw[start:],
            raw[:start] + token + raw[end:],
            raw[:start] + raw[end:],
            raw[:start] + flipped + raw[start + 1 :],
            raw[:start] + raw[start:end] * 2 + raw[end:],
            raw[:end],
        ][rng.integers(6)]
    return raw


def annotations(path: Path) -> None:
    read_annotations(path, videos=dict.fromkeys(miniature.VIDEOS), tally=Tally())


def unlinked(path: Path) -> None:
    read_annotations(path, videos={}, tally=Tally(), is_linked=False)


def subtitles(path: Path) -> None:
    read_subtitle_file(path, duration=10.0, tally=Tally())


def dialogues(path: Path) -> None:
    durations = dict.fromkeys(miniature.VIDEOS, 10.0)
    read_subtitle_lines(path, language="en", durations=durations, tally=Tally())


def originals(folder: Path) -> list:
    """(reader, name, bytes) of one good file of every kind."""
    miniature.write_microtv(folder / "microtv")
    miniature.write_mtvr(folder / "mtvr")
    miniature.write_features(folder, ["v0"])
    np.savez_compressed(folder / "packed.npz", features=miniature.frames_of("v1"))
    srt = folder / "microtv" / "subtitles" / "v0.en.srt"
    (folder / "v.vtt").write_text("WEBVTT\n\n" + srt.read_text().replace(",", "."))
    sub = [{"text": {"en": "Hi.", "zh": "嗨。"}, "start": 1, "end": 2.5}]
    miniature.write_lines(folder / "s.jsonl", [{"vid_name": "v0", "sub": sub}])
    files = [
        (annotations, folder / "microtv" / "annotations" / "tvr_train.jsonl"),
        (unlinked, folder / "mtvr" / "tvr_zh_en_test_public_release.jsonl"),
        (read_durations, folder / "mtvr" / "tvr_video2dur_idx.json"),
        (subtitles, srt),
        (subtitles, folder / "v.vtt"),
        (dialogues, folder / "s.jsonl"),
        (read_features, folder / "v0.npz"),
        (read_features, folder / "packed.npz"),
    ]
    return [(reader, file.name, file.read_bytes()) for reader, file in files]


def injure(folder: Path, *, seed: int, times: int) -> int:
    """How many of `times` damaged files of every kind were refused."""
    rng = np.random.default_rng(seed)
    refused = 0
    for reader, name, raw in originals(folder):
        file = folder / name
        for _ in range(times):
            file.write_bytes(mutated(raw, rng))
            try:
                reader(file)
            except InputError as error:
                refused += 1
                said = str(error)
                assert name in said
                assert "\n" not in said
                assert len(said) < 400
                assert said.isprintable()
    return refused


def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path):
    assert injure(tmp_path, seed=0, times=150) > 8 * 150 * 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_hundred_thousand_damaged_files_are_read_or_refused(tmp_path, seed):
    assert injure(tmp_path, seed=seed, times=3_200) > 8 * 3_200 * 0.5
