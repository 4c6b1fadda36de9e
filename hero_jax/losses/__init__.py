"""Objectives: pure functions of arrays. Each retrieval objective is a frozen dataclass
whose fields are its hyperparameters and whose call has the one common signature

    objective(scores: Float["Q B"], positives: Bool["Q B"], allowed: Bool["Q B"], *,
              step, key=None, vectors=None) -> (scalar, terms)

`positives` marks the true videos of each query, `allowed` the pairs that may serve as
negatives (false for the same video, the same text, and padding). Padding queries have
no positive; padding videos have no positive and are allowed nowhere.
"""
