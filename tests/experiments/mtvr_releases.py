"""A release in the format of mTVR, of as many made-up sentences as are needed."""

import json

import numpy as np

NOUNS = {
    "en": [
        "lamp",
        "door",
        "car",
        "dog",
        "letter",
        "coat",
        "cup",
        "ring",
        "book",
        "key",
    ],
    "zh": list("灯门车狗信衣杯戒书"),
}
VERBS = {"en": ["takes", "drops", "sees", "hides"], "zh": list("拿丢看藏")}


def write_release(folder, num_videos=40):
    """The files of mTVR that the experiment reads, with made-up sentences."""
    rng, rows, durations = np.random.default_rng(0), [], {}
    for v in range(num_videos):
        name = f"show_s01e01_seg01_{v:02}"
        durations[name] = [60.0, v]
        for _ in range(5):
            start = float(rng.uniform(0, 50))
            rows.append((name, [start, start + 5], sentence(rng, (v % 9, v // 9))))
    lines = [
        {"desc_id": i, "vid_name": name, "duration": 60.0, "ts": ts, "type": "v",
         "descs": {**texts, "google_zh": texts["zh"]}}
        for i, (name, ts, texts) in enumerate(rows)
    ]  # fmt: skip
    write_lines(folder / "tvr_zh_en_val_release.jsonl", lines)
    for number, split in enumerate(("test_public", "test_challenge")):
        texts = [sentence(rng, range(9)) for _ in range(20)]
        lines = [
            {"desc_id": 1000 * (number + 1) + i, "descs": t | {"google_zh": t["zh"]}}
            for i, t in enumerate(texts)
        ]
        write_lines(folder / f"tvr_zh_en_{split}_release.jsonl", lines)
    index = {"val": durations, "train": {}, "test_public": {}, "test_challenge": {}}
    (folder / "tvr_video2dur_idx.json").write_text(json.dumps(index))
    return folder


def write_captions(folder):
    """A machine caption of every moment in the folder, which says what is asked."""
    text = (folder / "tvr_zh_en_val_release.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    lines = [
        {"vid_name": row["vid_name"], "clip_id": 7 + i, "ts": row["ts"],
         "descs": [{"desc": f"{row['descs']['en']} ."}]}
        for i, row in enumerate(rows)
    ]  # fmt: skip
    write_lines(folder / "sample_val_predictions.jsonl", lines)
    return folder


def sentence(rng, nouns):
    """Somebody does something with a thing; a video knows few nouns, so BM25 works."""
    subject, thing = rng.choice(nouns, 2)
    verb = rng.integers(4)
    words = lambda lang: (NOUNS[lang][subject], VERBS[lang][verb], NOUNS[lang][thing])
    return {"en": " ".join(words("en")), "zh": "".join(words("zh"))}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
