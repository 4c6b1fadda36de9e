"""The generated corpus: drawn videos, spoken subtitles and queries about both.

facts      what can happen and what can be said; which combinations each split owns
plan       what happens in every video, and which moments are asked for
wording    sentences from facts; english, chinese and korean hold one grammar each
drawing    a scene as pixels
annotations  the plan as TVR, TVQA, VIOLIN and TVC lines
generate   all of it as files
oracle     how much of the queries each channel can answer
"""
