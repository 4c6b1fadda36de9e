"""Records of the text databases: as our reader decodes them, texts tokenized again."""

import zlib

from data_pipelines import official, text
from data_pipelines.schema import Subtitle


def toy_tokens(golden, line):
    """The white-space tokenizer of the recording (its README, section 1)."""
    vocab = golden.settings["vocab"]
    ids = {".": 4, "<|endoftext|>": vocab - 5, "<mask>": vocab - 1}
    return [
        ids.get(word, 5 + zlib.crc32(word.encode()) % (vocab - 10))
        for word in line.split()
    ]


def subtitle_records(golden, case):
    """Subtitles aligned anew, from the annotations."""
    counts = golden.json("db/video/tv/id2nframe.json")
    facts = dict(golden.records("tv_subtitles.db"))
    for line in golden.lines("raw/tv_subtitles.jsonl"):
        video, said = line["vid_name"], line["sub"]
        found = line | official.subtitle_record(
            [Subtitle(one["text"], one["start"], one["end"]) for one in said],
            [toy_tokens(golden, text.official_subtitle(s["text"])) for s in said],
            num_frames=counts[video],
            interval=golden.interval,
        )
        facts[video] = facts[video] | found | {"v_id": video}
    return {}, facts


def query_records(golden, case):
    """Ids of every text again: queries and statements lower-cased, captions not."""
    facts = {}
    for key, record in golden.records(case.removeprefix("txtdb_")).items():
        names = ["q", *(f"a{i}" for i in range(9))] if "q" in record else ["desc"]
        clean = str if "tvc" in case else text.official_query
        ids = [toy_tokens(golden, clean(record[n])) for n in names if n in record]
        facts[key] = record | {"input_ids": ids if "q" in record else ids[0]}
    return {}, facts


def caption_records(golden, case):
    facts = {}
    for key, record in golden.records(case.removeprefix("txtdb_")).items():
        captions = [
            one | {"input_ids": toy_tokens(golden, one["text"])}
            for one in record["captions"]
        ]
        facts[key] = record | {"captions": captions}
    return {}, facts


HANDLERS = {
    r"txtdb_tv_subtitles\.db": subtitle_records,
    r"txtdb_tvc_\w+\.db_clip\.db": caption_records,
    r"txtdb_.*\.db": query_records,
}
