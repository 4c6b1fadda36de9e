"""What turns pictures into feature vectors; the pixel extractor needs no weights."""

import dataclasses
from typing import Protocol

import numpy as np


class Extractor(Protocol):
    """A fixed function of pictures. CLIP, ResNet and SlowFast have this face too."""

    @property
    def name(self) -> str:
        """Part of what identifies a set of features."""
        ...

    @property
    def width(self) -> int:
        """Length of a feature vector."""
        ...

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [F, H, W, 3] -> float32 [F, width]."""
        ...


@dataclasses.dataclass(frozen=True)
class PixelExtractor:
    """Mean colours of a grid of rectangles, row by row, each channel about -2 to 2."""

    grid: int = 8
    """Rectangles along each side."""

    @property
    def name(self) -> str:
        return f"pixels{self.grid}"

    @property
    def width(self) -> int:
        return self.grid * self.grid * 3

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        _, height, width, _ = frames.shape
        rows, columns = _shares(self.grid, height), _shares(self.grid, width)
        # One picture at a time: hours of video as floats would not fit.
        means = np.stack([_means(frame, rows, columns) for frame in frames])
        return (means.reshape(len(frames), self.width) / 255 - 0.5) / 0.25


def _means(frame: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """float32 [row, column, colour] of one picture."""
    height, width, colours = frame.shape
    by_row = rows @ frame.reshape(height, width * colours).astype(np.float32)
    return columns @ by_row.reshape(len(rows), width, colours)


def _shares(cells: int, pixels: int) -> np.ndarray:
    """float32 [cells, pixels]: the share of each pixel in the mean of each cell.

    5 pixels, 2 cells     1 1 .5 0 0
                          0 0 .5 1 1     each divided by 2.5
    """
    edges = np.linspace(0, pixels, cells + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels)
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
