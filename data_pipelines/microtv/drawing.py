"""A scene as pixels: every visual fact can be read from any single frame.

rows  0-11   the light: one strip of sky
rows 12-63   the place: wall and floor; in front of it
             left and middle: the character by its clothes, the action by its pose
             right: the object by shape and colour
"""

from collections.abc import Mapping

import numpy as np

from data_pipelines.microtv.facts import Facts

SIZE = 64
NUM_VARIANTS = 6
"""Drawings of one scene, each a little shaken."""

_Colour = tuple[int, int, int]
_Point = tuple[float, float]
"""x to the right, y downwards, in pixels."""

_SKY: Mapping[str, tuple[_Colour, _Colour]] = {
    "night": ((8, 8, 40), (8, 8, 40)),
    "rain": ((70, 95, 130), (120, 150, 190)),
    "snow": ((235, 240, 250), (190, 200, 215)),
    "sunset": ((235, 95, 25), (205, 60, 60)),
    "sunshine": ((250, 215, 40), (110, 190, 250)),
}
"""Left and right half of the sky."""

_WALL_AND_FLOOR: Mapping[str, tuple[_Colour, _Colour]] = {
    "kitchen": ((105, 55, 45), (60, 55, 60)),
    "garden": ((25, 80, 30), (15, 50, 15)),
    "office": ((55, 60, 95), (90, 60, 30)),
    "street": ((55, 55, 55), (25, 25, 28)),
    "beach": ((25, 75, 110), (120, 105, 55)),
    "library": ((75, 25, 70), (40, 20, 15)),
}

_CLOTHES: Mapping[str, tuple[_Colour, _Colour, _Colour]] = {
    "anna": ((250, 220, 50), (225, 30, 30), (45, 70, 220)),
    "ben": ((20, 15, 10), (40, 215, 60), (250, 250, 250)),
    "carla": ((230, 90, 20), (45, 80, 250), (250, 220, 50)),
    "david": ((240, 240, 245), (20, 15, 10), (225, 30, 30)),
    "emma": ((45, 70, 220), (240, 60, 230), (40, 190, 60)),
    "frank": ((160, 20, 40), (40, 225, 230), (15, 15, 20)),
    "grace": ((140, 40, 200), (250, 250, 250), (230, 90, 20)),
    "henry": ((30, 170, 60), (250, 200, 40), (150, 40, 220)),
}
"""Hair, shirt and trousers: three colours tell eight people apart more surely."""

_SKIN = (250, 215, 180)
_LIMB = (255, 240, 215)

_LIMBS: Mapping[str, tuple[tuple[_Point, _Point], ...]] = {
    "lift": (((17, 36), (11, 17)), ((31, 36), (37, 17))),
    "kick": (((27, 48), (40, 58)), ((27, 48), (42, 50))),
    "push": (((31, 35), (43, 33)), ((31, 41), (43, 39))),
    "hug": (((17, 35), (5, 45)), ((31, 35), (39, 45))),
    "throw": (((17, 36), (3, 20)), ((3, 20), (12, 16))),
    "point": (((17, 40), (5, 56)), ((31, 35), (42, 24))),
    "wash": (((18, 42), (14, 60)), ((30, 42), (34, 60))),
    "photograph": (((17, 38), (22, 25)), ((31, 38), (26, 25)), ((14, 26), (34, 26))),
}

_GRID_Y, _GRID_X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def scene_pictures(facts: Facts, rng: np.random.Generator) -> np.ndarray:
    """uint8 [NUM_VARIANTS, SIZE, SIZE, 3]: what a video shows in random order."""
    return np.stack([_variant(facts, rng) for _ in range(NUM_VARIANTS)])


def _variant(facts: Facts, rng: np.random.Generator) -> np.ndarray:
    """One drawing, with figure, object and brightness a little shaken."""
    canvas = np.empty((SIZE, SIZE, 3), np.float32)
    _draw_setting(canvas, facts)
    _draw_character(canvas, facts, rng.integers(-1, 2, size=2))
    _draw_object(canvas, facts["object"], rng.integers(-1, 2, size=2))
    canvas *= rng.uniform(0.93, 1.07)
    canvas += rng.integers(-6, 7, size=canvas.shape, dtype=np.int8)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _draw_setting(canvas: np.ndarray, facts: Facts) -> None:
    sky, horizon, middle = 12, 46, SIZE // 2
    canvas[:sky, :middle], canvas[:sky, middle:] = _SKY[facts["light"]]
    canvas[sky:horizon], canvas[horizon:] = _WALL_AND_FLOOR[facts["place"]]


def _draw_character(canvas: np.ndarray, facts: Facts, shift: np.ndarray) -> None:
    x, y = float(shift[0]), float(shift[1])
    hair, shirt, trousers = _CLOTHES[facts["character"]]
    _box(canvas, (17 + x, 48 + y), (31 + x, 62 + y), trousers)
    _box(canvas, (15 + x, 33 + y), (33 + x, 50 + y), shirt)
    _disc(canvas, (24 + x, 27 + y), 6, _SKIN)
    _box(canvas, (16 + x, 17 + y), (32 + x, 25 + y), hair)
    for start, end in _LIMBS[facts["action"]]:
        _bar(canvas, (start[0] + x, start[1] + y), (end[0] + x, end[1] + y), 3, _LIMB)


def _draw_object(canvas: np.ndarray, name: str, shift: np.ndarray) -> None:
    """Ten shapes in a square of 18 pixels around (53, 46)."""
    x, y = 53 + float(shift[0]), 46 + float(shift[1])

    def box(left: int, top: int, right: int, bottom: int, colour: _Colour) -> None:
        _box(canvas, (x + left, y + top), (x + right, y + bottom), colour)

    match name:
        case "ball":
            _disc(canvas, (x, y), 9, (235, 30, 30))
        case "box":
            box(-9, -7, 9, 9, (175, 110, 45))
        case "lamp":
            box(-2, -2, 2, 9, (200, 200, 200))
            box(-8, -9, 8, 0, (255, 245, 60))
        case "cake":
            box(-9, 1, 9, 9, (250, 130, 180))
            box(-9, -4, 9, 1, (255, 255, 255))
        case "guitar":
            _disc(canvas, (x, y + 4), 6, (255, 130, 20))
            box(-2, -13, 2, 2, (255, 130, 20))
        case "chair":
            box(-8, -11, -3, 9, (60, 235, 80))
            box(-8, 0, 8, 9, (60, 235, 80))
        case "book":
            box(-9, -6, 9, 8, (50, 90, 255))
        case "hat":
            box(-6, -8, 6, 3, (170, 40, 235))
            box(-10, 3, 10, 8, (170, 40, 235))
        case "bottle":
            box(-4, -4, 5, 10, (30, 235, 235))
            box(-2, -12, 3, -4, (30, 235, 235))
        case "clock":
            _disc(canvas, (x, y), 9, (250, 250, 250))
            _disc(canvas, (x, y), 5, (15, 15, 20))


def _box(canvas: np.ndarray, low: _Point, high: _Point, colour: _Colour) -> None:
    (left, top), (right, bottom) = low, high
    rows = slice(max(0, int(top)), max(0, int(bottom)))
    canvas[rows, max(0, int(left)) : max(0, int(right))] = colour


def _disc(canvas: np.ndarray, centre: _Point, radius: float, colour: _Colour) -> None:
    x, y = centre
    canvas[(_GRID_X - x) ** 2 + (_GRID_Y - y) ** 2 <= radius**2] = colour


def _bar(
    canvas: np.ndarray, start: _Point, end: _Point, radius: float, colour: _Colour
) -> None:
    """A thick line: everything within `radius` of the segment from start to end."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    along = ((_GRID_X - x) * dx + (_GRID_Y - y) * dy) / (dx * dx + dy * dy)
    along = np.clip(along, 0, 1)
    distance = (_GRID_X - x - along * dx) ** 2 + (_GRID_Y - y - along * dy) ** 2
    canvas[distance <= radius**2] = colour
