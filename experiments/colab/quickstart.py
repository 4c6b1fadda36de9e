# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # HERO learns to find videos across languages
#
# This renders a small corpus of real video files with subtitles in three languages,
# trains one model per objective, compares every query language with every subtitle
# language, and asks the result a question of its own. Some minutes on a CPU.
#
# On Colab, bring the repository first: clone it, or upload and unpack an archive of it,
# and name its folder in `REPOSITORY`.

# %%
"""The quickstart as a notebook: watch HERO learn to find videos across languages."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(os.environ.get("HERO_REPOSITORY", "../.."))

if importlib.util.find_spec("hero_jax") is None:
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "-e", str(REPOSITORY)], check=True)
    print("Installed. Restart the session once, then run the notebook from here.")

# %% [markdown]
# ## Parameters
#
# Environment variables may set them; the tests run this notebook that way.

# %%
from experiments import quickstart
from experiments.quickstart import Quickstart

RUN_DIR = Path(os.environ.get("HERO_RUN_DIR", "runs/notebook"))
VIDEOS = int(os.environ.get("HERO_VIDEOS", Quickstart.videos))
STEPS = int(os.environ.get("HERO_STEPS", Quickstart.steps))
BATCH_SIZE = int(os.environ.get("HERO_BATCH_SIZE", Quickstart.batch_size))
OBJECTIVES = tuple(os.environ.get("HERO_OBJECTIVES", "vsm info_nce").split())

# %% [markdown]
# ## Train
#
# All that the run makes lies in `RUN_DIR`. If the session ends early, run this cell
# again: it goes on where it was.

# %%
config = Quickstart(
    run_dir=RUN_DIR,
    videos=VIDEOS,
    steps=STEPS,
    batch_size=BATCH_SIZE,
    objectives=OBJECTIVES,
)
results = quickstart.run(config)

# %% [markdown]
# The tables above are the language matrices: queries of the test split in each
# language (down), searched under the subtitles of each language (across). `none` is the
# search by frames alone. `report.html` in the run directory shows the same, with curves
# and example queries.
#
# ## Ask
#
# A query of the test split, in Chinese, over videos whose dialogue is in English.

# %%
import hero_jax

searcher = hero_jax.load(RUN_DIR / OBJECTIVES[0])
examples = searcher.source.open("test")
query = next(query for query in examples.corpus.queries if query.kind == "vt")
text, subtitles = query.texts["zh"], "en"
start, end = query.moments[0]
print(text, f"(in English: {query.texts['en']})")
print(f"true:  {query.video_id}  {start:.1f}-{end:.1f} s")

hits = searcher.search(text, k=5, subtitles=subtitles)
for hit in hits:
    print(f"found: {hit.video}  {hit.start:.1f}-{hit.end:.1f} s  score {hit.score:.3f}")

# %% [markdown]
# ## Look inside
#
# The score of a video is that of its best frame. Here is the score of every frame of
# the true video for this query; `=` marks the true moment.

# %%
import numpy as np

place = [video.video_id for video in examples.corpus.videos].index(query.video_id)
video = examples.corpus.videos[place]
tokens = searcher.source.load_tokenizer().encode([text])[0]
vector = searcher.encoder.encode_queries([searcher.source.as_query(tokens)], examples)[
    0
]
frames = searcher.encoder.encode_corpus(examples, subtitles)[place][: video.num_frames]
lengths = np.linalg.norm(frames, axis=1) * np.linalg.norm(vector)
scores = frames @ vector / np.maximum(lengths, 1e-6)

low, high = scores.min(), scores.max()
for number, score in enumerate(scores):
    seconds = number * video.interval
    mark = "=" if start <= seconds + video.interval / 2 <= end else " "
    bar = "#" * round(40 * (score - low) / max(high - low, 1e-6))
    print(f"{seconds:5.1f} s {mark} {score:6.3f} {bar}")

# %% [markdown]
# ## Check
#
# Every pair of languages was measured, and what was found lies in the videos searched.

# %%
languages = examples.languages
for objective in OBJECTIVES:
    for asked in languages:
        assert set(results[objective][asked]) == {*languages, "none"}
assert 1 <= len(hits) <= 5
assert {hit.video for hit in hits} <= {v.video_id for v in examples.corpus.videos}
assert all(0 <= hit.start < hit.end for hit in hits)
assert np.isfinite(scores).all()
if config == Quickstart(RUN_DIR, objectives=OBJECTIVES):  # nothing cut short
    for cells in results[OBJECTIVES[0]].values():
        for cell in (cells[language] for language in languages):
            assert cell["VR"]["MRR"] >= 3 * cell["chance"]["VR"]["MRR"]
print("All as it should be.")
