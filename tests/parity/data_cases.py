"""Official dataset items and batches, rebuilt from the recorded databases.

Cases are the files of <golden>/data/expected; each is rebuilt from the other recorded
files and compared entry by entry.
"""

import dataclasses
import functools
import json
import re
from pathlib import Path

import numpy as np
import record_cases
import seeded_cases
from parity_harness import Measured

from data_pipelines import align, official
from data_pipelines.official_db.stores import TextDb

DEFAULT_GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@dataclasses.dataclass(frozen=True)
class Golden:
    """One recorded set, read lazily."""

    root: Path

    @functools.cached_property
    def settings(self):
        return json.loads((self.root / "meta.json").read_text())["settings"]

    @property
    def interval(self):
        return self.settings["frame_interval"]

    @property
    def subtitles(self):
        return self.records("tv_subtitles.db")

    @functools.cache  # noqa: B019
    def records(self, name):
        """Key -> record of a text database, by our reader, in the official order."""
        path = self.root / "data/db/txt" / name.replace(".db_", ".db/")
        return {key: row.values for key, row in TextDb(path).rows()}

    @functools.cached_property
    def special(self):
        return official.Special.of(self.json("db/txt/tv_subtitles.db/meta.json"))

    def json(self, path):
        return json.loads((self.root / "data" / path).read_text())

    def lines(self, path):
        content = (self.root / "data" / path).read_text()
        return [json.loads(line) for line in content.splitlines()]

    def expected_json(self, case):
        return self.json(f"expected/{case}.json")

    def arrays(self, case):
        with np.load(self.root / f"data/expected/{case}.npz") as arrays:
            return dict(arrays)

    def features(self, video, max_frames):
        return self._features[f"{video}/get_dump"][:max_frames]

    @functools.cached_property
    def _features(self):
        return self.arrays("video_feats")

    def item(self, video, max_frames, *, context=0, suffix=()):
        return official.video_item(
            self.subtitles[video],
            self.features(video, max_frames),
            self.special,
            max_frames=max_frames,
            context=context,
            suffix=suffix,
        )


# --- how each case is rebuilt: (golden, case) -> (arrays, facts) ---------------------


def limits(golden, case):
    """Frames, context and so on of a case: from its name, its file, or the set."""
    info = golden.expected_json(case)
    in_name = re.search(r"max_clip_len(\d+)", case)
    context = re.search(r"ctx(\d+)", case)
    frames = info.get("max_clip_len", golden.settings["max_clip_len"])
    default_context = 1 if case.startswith("tvc") else 0
    return (
        int(in_name[1]) if in_name else frames,
        int(context[1]) if context else info.get("sub_ctx_len", default_context),
    )


def items(golden, case):
    frames, context = limits(golden, case)
    arrays, facts = {}, {}
    for video in golden.expected_json(case):
        item = golden.item(video, frames, context=context)
        for number, row in enumerate(item.rows):
            arrays[f"{video}/sub{number}/input_ids"] = row.tokens
            arrays[f"{video}/sub{number}/v_feats"] = row.features
            arrays[f"{video}/sub{number}/attn_mask"] = row.mask
        arrays[f"{video}/c_v_feats"] = item.features
        arrays[f"{video}/c_attn_mask"] = np.ones(len(item.features), np.int64)
        facts[video] = {"num_subs": len(item.rows), "sub2frames": as_lists(item.frames)}
    return arrays, facts


def collated(golden, case):
    frames, context = limits(golden, case)
    videos = golden.expected_json(case)["vids"]
    return batch(golden, [golden.item(v, frames, context=context) for v in videos])


def batch(golden, built, arrays=(), **facts):
    facts |= {
        "num_subs": [len(item.rows) for item in built],
        "sub_idx2frame_idx": [as_lists(item.frames) for item in built],
    }
    return official.video_arrays(built, golden.special) | dict(arrays), facts


def long_text(golden, case):
    """Its rows are read back from the batch; positions and gather index are rebuilt."""
    recorded = golden.arrays(case)
    ids, pad = recorded["f_sub_input_ids"], golden.special.pad
    tokens = [row[: np.flatnonzero(row != pad)[-1] + 1] for row in ids]
    masks = [np.ones(count, np.int64) for count in recorded["f_attn_masks"].sum(1)]
    frames = [len(mask) - len(row) for mask, row in zip(masks, tokens)]
    return official.row_arrays(tokens, frames, masks, golden.special), {}


def video_only(golden, case):
    info = golden.expected_json(case)
    frames = info["max_clip_len"]
    built = [video_only_item(golden, video, frames) for video in info["vids"]]
    arrays, facts = batch(golden, built)
    return arrays, facts | {"vid2idx": sorted_index(golden, golden.subtitles)}


def video_only_item(golden, video, frames):
    return official.video_only_item(golden.features(video, frames), golden.special)


def video_only_limit(golden):
    """Nowhere recorded: what the longest video of the batch was cut to does as well."""
    return golden.arrays("didemo_video_only_eval_batch")["c_v_feats"].shape[1]


def sorted_index(golden, wanted):
    """Videos without a fixed index are numbered in the order of their names."""
    order = sorted(golden.json("db/video/tv/id2nframe.json"))
    return {video: order.index(video) for video in order if video in wanted}


def database(case):
    kind, split = re.match(r"(vcmr|didemo|msrvtt)\w*?(train|eval)_batch", case).groups()
    name = {"vcmr": "tvr"}.get(kind, kind)
    return f"{name}_{'train' if split == 'train' else 'val'}.db"


def chosen_queries(golden, case):
    """Ids of the queries in a batch, in its order."""
    info = golden.expected_json(case)
    if "indices" in info:
        return [info["qids_order"][i] for i in info["indices"]]
    if "qids" in info["_meta"]:
        return info["_meta"]["qids"]
    records = golden.records(database(case))
    found = [q for v in info["vids"] for q in records if records[q]["vid"] == v]
    assert len(found) == info["max_num_query"] * len(info["vids"])
    return found


def retrieval(golden, case):
    frames, context = limits(golden, case)
    ids = chosen_queries(golden, case)
    records = [golden.records(database(case))[i] for i in ids]
    query_videos = [record["vid"] for record in records]
    # One query an item, or one video with several queries.
    videos = golden.expected_json(case).get("vids", query_videos)
    built = [retrieval_item(golden, case, video, frames, context) for video in videos]
    lengths = {video: len(item.features) for video, item in zip(videos, built)}
    arrays = official.query_arrays([r["input_ids"] for r in records], golden.special)
    arrays["targets"] = targets(golden, records, lengths)
    arrays["q_vidx"] = official.query_positions(query_videos, videos)
    facts = {"vids": videos} | ({"qids": ids} if "eval" in case else {})
    facts["vid2idx"] = sorted_index(golden, videos)
    return batch(golden, built, arrays, **facts)


def targets(golden, records, lengths):
    spans = [
        official.moment_target(
            r, num_frames=lengths[r["vid"]], interval=golden.interval
        )
        for r in records
    ]
    return np.array(spans, np.int64)


def retrieval_item(golden, case, video, frames, context):
    if "video_only" in case:
        return video_only_item(golden, video, video_only_limit(golden))
    # H-14: the reader of this dataset cuts the features and not the subtitles.
    cut = None if case.startswith("msrvtt") else frames
    return official.video_item(
        golden.subtitles[video],
        golden.features(video, frames),
        golden.special,
        max_frames=cut,
        context=context,
    )


def queries_alone(golden, case):
    ids = golden.expected_json(case)["_meta"]["qids"]
    records = [golden.records(database(case))[i] for i in ids]
    videos = [record["vid"] for record in records]
    arrays = official.query_arrays([r["input_ids"] for r in records], golden.special)
    frames = golden.settings["max_clip_len"]
    if "didemo" in case:
        frames = video_only_limit(golden)
    lengths = {video: len(golden.features(video, frames)) for video in videos}
    arrays["targets"] = targets(golden, records, lengths)
    index = (
        official.split_indices(golden.json("db/txt/tv_subtitles.db/vid2dur_idx.json"))
        if case.startswith("vcmr")
        else sorted_index(golden, videos)
    )
    return arrays, {"vids": videos, "qids": ids, "vid2idx": index}


def questions(golden, case):
    records = list(in_order(golden, "tvqa_val.db").values())
    records = [records[i] for i in golden.expected_json(case)["indices"]]
    return question_batch(golden, case, records)


def question_batch(golden, case, records):
    """A copy of its video for every candidate of every question."""
    frames, context = limits(golden, case)
    built, texts, spans = [], [], []
    for record in records:
        question, *answers = record["input_ids"]
        for answer in answers:
            texts.append(official.pieces([question, answer], golden.special))
            built.append(
                golden.item(record["vid"], frames, context=context, suffix=texts[-1])
            )
        spans.append(
            align.span_of_text(
                record["ts"],
                num_frames=len(built[-1].features),
                interval=golden.interval,
            )
        )
    labels = [-1 if r["target"] is None else r["target"] for r in records]
    arrays = official.piece_arrays(texts, golden.special, name="qa") | {
        "targets": np.array(labels, np.int64)[:, None],
        "ts_targets": np.array(spans, np.int64),
    }
    return batch(golden, built, arrays, qids=[r["qid"] for r in records])


def in_order(golden, name):
    """Records in the order of `id2len.json`, which is the official order."""
    records = golden.records(name)
    return {key: records[key] for key in golden.json(f"db/txt/{name}/id2len.json")}


def statements(golden, case):
    ids = list(in_order(golden, "violin_val.db"))
    ids = [ids[i] for i in golden.expected_json(case)["indices"]]
    if "train" in case:
        ids = [one for i in ids for one in (i, official.opposite(i))]
    return statement_batch(golden, case, ids)


def statement_batch(golden, case, ids):
    """A copy of its video for every statement."""
    frames, context = limits(golden, case)
    records = in_order(golden, "violin_val.db")
    texts = [official.pieces([records[i]["input_ids"]], golden.special) for i in ids]
    built = [
        golden.item(records[i]["vid"], frames, context=context, suffix=statement)
        for i, statement in zip(ids, texts)
    ]
    arrays = official.piece_arrays(texts, golden.special, name="q")
    arrays["targets"] = np.array([[int(records[i]["target"])] for i in ids], np.int64)
    return batch(golden, built, arrays, **({"qids": ids} if "eval" in case else {}))


def captions(golden, case):
    frames, context = limits(golden, case)
    info = golden.expected_json(case)
    built = [golden.item(video, frames, context=context) for video in info["vids"]]
    lengths = [len(item.features) for item in built]
    make = training_captions if "train" in case else evaluated_captions
    arrays, facts = make(golden, case, list(zip(info["vids"], lengths)))
    return batch(golden, built, arrays, **facts)


def caption_span(golden, record, num_frames):
    start, end = record["ts"]
    return align.span_of_caption(
        start, end, num_frames=num_frames, interval=golden.interval
    )


def training_captions(golden, case, videos):
    records = golden.records("tvc_val.db_cap.db")
    of_video = golden.json("db/txt/tvc_val.db/cap.db/vid2caps.json")
    spans = [
        [caption_span(golden, records[i], count) for i in of_video[video]]
        for video, count in videos
    ]
    texts = [records[i]["input_ids"] for video, _ in videos for i in of_video[video]]
    arrays = official.caption_arrays(
        texts, golden.special, max_tokens=golden.expected_json(case)["max_txt_len"]
    )
    arrays["cap_attn_mask"] = official.span_mask([s for of in spans for s in of])
    return arrays, {"clip_ranges": as_lists(spans)}


def evaluated_captions(golden, case, videos):
    records = golden.records("tvc_val.db_clip.db")
    of_video = golden.json("db/txt/tvc_val.db/clip.db/vid2clips.json")
    names = [(video, i) for video, _ in videos for i in of_video[video]]
    spans = [
        [caption_span(golden, records[i], count) for i in of_video[video]]
        for video, count in videos
    ]
    facts = {
        "clip_ranges": as_lists(spans),
        "vid_names": [video for video, _ in names],
        "clip_ids": [int(i) for _, i in names],
        "all_ts": [records[i]["ts"] for _, i in names],
    }
    if "val" in case:
        facts["gts"] = [records[i]["captions"][0]["text"] for _, i in names]
    masks = official.span_mask([span for of in spans for span in of])
    return {"cap_attn_mask": masks}, facts


def features(golden, case):
    """Both resolutions joined, and their first frames as a dataset loads them."""
    arrays = {}
    for video in golden.json("db/video/tv/id2nframe.json"):
        parts = [
            np.load(golden.root / f"data/raw/feat/{name}_features/tv/{video}.npz")
            for name in ("resnet", "slowfast")
        ]
        whole = official.joined_features(*(part["features"] for part in parts))
        arrays[f"{video}/get_dump"] = whole
        arrays[video] = whole[: golden.settings["max_clip_len"]]
    return arrays, {}


def span_labels(golden, case):
    rows = []
    for row in golden.expected_json(case)["rows"]:
        size = {"num_frames": row["n_frames"], "interval": golden.interval}
        if isinstance(row["ts"], str):
            spans = {"qa": align.span_of_text(row["ts"], **size)}
        else:
            start, end = row["ts"]
            spans = {
                "vcmr": align.span_of_moment(start, end, **size),
                "qa": align.span_of_text(f"{start}-{end}", **size),
                "tvc": align.span_of_caption(start, end, **size),
            }
        rows.append({"ts": row["ts"], "n_frames": row["n_frames"]} | spans)
    return {}, {"frame_interval": golden.interval, "rows": as_lists(rows)}


def query_filter(golden, case):
    limit = golden.expected_json(case)["max_txt_len"]
    lengths = golden.json("db/txt/tvr_train.db/id2len.json")
    kept = [i for i, length in lengths.items() if align.query_is_kept(length, limit)]
    return {}, {"kept_query_ids": kept, "all_query_ids": list(lengths)}


def subtitle_reader(golden, case):
    frames, _ = limits(golden, case)
    meta = golden.json("db/txt/tv_subtitles.db/meta.json")
    counts = golden.json("db/video/tv/id2nframe.json")
    durations = golden.json("db/txt/tv_subtitles.db/vid2dur_idx.json")
    names = ("cls", "sep", "bos", "eos", "pad", "mask")
    return {}, {name: meta[name.upper()] for name in names} | {
        "max_clip_len": frames,
        "v_range": meta["v_range"],
        "name2nframe": counts,
        "id2len": {v: min(r["duration"], frames) for v, r in golden.subtitles.items()},
        "vid_sub2frame": {
            video: as_lists(official.kept_frames(record, frames))
            for video, record in golden.subtitles.items()
        },
        "vid2vonly_frames": {
            video: [f for f in record["unmatched_frames"] if f < frames]
            for video, record in golden.subtitles.items()
        },
        "vid2idx": official.split_indices(durations),
        "kinds": kinds(golden, case),
        "vid2dur": {
            split: [{"vid_name": v, "duration": d} for v, (d, _) in videos.items()]
            for split, videos in durations.items()
        },
    }


def kinds(golden, case):
    """What the recording program made of each video, in the order of its settings."""
    counts = golden.json("db/video/tv/id2nframe.json")
    names = golden.expected_json(case).get("kinds", {})
    wanted = golden.settings.get("data_kinds", [None] * len(names))
    return {v: {"n": counts[v], "kind": kind} for v, kind in zip(names, wanted)}


def seeded(golden, case):
    return seeded_cases.redraw(golden, case, *limits(golden, case))


HANDLERS = {
    r"seeded_(mlm|mfm|fom|vsm)(_ctx\d+)?": seeded,
    r"items(_ctx\d+|_max_clip_len\d+)*": items,
    r"collate_long_text": long_text,
    r"collate_(repr|max_clip_len\d+)(_ctx\d+)?": collated,
    r"video_only_collate": video_only,
    r"(vcmr|didemo_video_only|msrvtt_video_(only|sub))_full_eval_batch": queries_alone,
    r"vcmr_(train|eval)_batch(_by_video)?": retrieval,
    r"(didemo|msrvtt)_video_(only|sub)_eval_batch": retrieval,
    r"tvqa_eval_batch": questions,
    r"violin_(train|eval)_batch": statements,
    r"tvc_(train|val|eval)_batch": captions,
    r"video_feats": features,
    r"span_labels": span_labels,
    r"query_filter": query_filter,
    r"sub_tok_lmdb": subtitle_reader,
} | record_cases.HANDLERS


def as_lists(value):
    """Tuples as JSON has them."""
    return json.loads(json.dumps(value))


def handler(case):
    return next((HANDLERS[p] for p in HANDLERS if re.fullmatch(p, case)), None)


# --- comparison ---------------------------------------------------------------------


@dataclasses.dataclass
class Recorded:
    arrays: dict
    facts: dict

    @classmethod
    def of(cls, golden, case):
        folder = golden.root / "data/expected"
        facts = golden.expected_json(case) if (folder / f"{case}.json").exists() else {}
        facts |= facts.pop("_meta", {})
        has_arrays = (folder / f"{case}.npz").exists()
        return cls(golden.arrays(case) if has_arrays else {}, facts)


SETTINGS = {
    *("note", "batch_meta", "f32_vs_f64"),
    *("vids", "indices", "max_num_query", "python_random_seed"),
    *("max_clip_len", "max_txt_len", "sub_ctx_len"),
}
"""What a recording says about how it was made; the rest has to be rebuilt."""


def check(recorded, arrays, facts):
    """Every recorded array and fact has been rebuilt, and nothing else."""
    found = [str(one) for one in compared(recorded, arrays, facts) if one.is_off]
    assert not found, "\n".join(found)


def compared(recorded, arrays, facts):
    """Whether each array and fact is what was recorded."""
    made = arrays | {k: facts[k] for k in facts if k in recorded.facts}
    theirs = recorded.arrays | recorded.facts
    names = sorted((theirs.keys() - SETTINGS) | made.keys())
    alike = lambda n: n in made and n in theirs and is_same(made[n], theirs[n])
    problem = lambda n: "" if alike(n) else f"{made.get(n)}, recorded {theirs.get(n)}"
    return [Measured(name, 0.0, 0.0, problem(name)) for name in names]


def is_same(mine, theirs):
    if isinstance(theirs, np.ndarray):
        return np.array_equal(mine, theirs) and mine.dtype == theirs.dtype
    return type(mine) is type(theirs) and mine == theirs


def names(root):
    return sorted({path.stem for path in (root / "data/expected").glob("*")})


def rebuild(golden, case):
    build = handler(case)
    assert build, f"{case} is a case that no handler knows"
    arrays, facts = build(golden, case)
    return arrays, described(golden, case, arrays) | facts


def described(golden, case, arrays):
    """What a case says about itself, as it has to be."""
    shapes = {name: [list(a.shape), a.dtype.name] for name, a in arrays.items()}
    facts = {"case": case, "weights": None, "keys": shapes}
    info = Recorded.of(golden, case).facts
    if "vids_order" in info:
        facts["vids_order"] = info["vids"]
    if "qids_order" in info:
        facts["qids_order"] = list(golden.records(database(case)))
    return {name: value for name, value in facts.items() if name in info}


def measured(root, case):
    golden = Golden(root)
    return compared(Recorded.of(golden, case), *rebuild(golden, case))
