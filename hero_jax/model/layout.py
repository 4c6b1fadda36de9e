"""The static-shape batch that the towers read: segments packed into rows.

    one row:   F F F w w w w w | F F w w w | F F F F w w w w | . .   . padding
    segment:   1 1 1 1 1 1 1 1 | 2 2 2 2 2 | 3 3 3 3 3 3 3 3 | 0 0
    position:  0 1 2 0 1 2 3 4 | 0 1 0 1 2 | 0 1 2 3 0 1 2 3 | 0 0   per modality
    frame:     7 8 9 - - - - - | 3 4 - - - | ...                     - is -1

A slot is a frame slot where `frame >= 0`, a token slot where `segment > 0` and
`frame < 0`, and padding where `segment == 0`. The official padded layout is the
special case of one segment per row, so the same modules serve both.

With `num_groups` G > 1 the leading axes are G equal blocks, and every index
(`frame`, `owner`, `row`) counts from the start of its own block: a video and its
rows then live on the same shard of the data axis.
"""

import typing

import flax.struct

from hero_jax.types import Array, Bool, Float, Int


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class TextBatch:
    """Texts packed into rows; text q is segment `segment_of[q]` of row `row[q]`."""

    tokens: Int[Array, "R L"]
    segment: Int[Array, "R L"]
    position: Int[Array, "R L"]
    row: Int[Array, "Q"]
    segment_of: Int[Array, "Q"]
    """0 where there is no text q: such a query is padding."""
    num_groups: int = flax.struct.field(pytree_node=False, default=1)

    @property
    def mask(self) -> Bool[Array, "Q"]:
        """Which queries are real."""
        return self.segment_of > 0


@typing.no_type_check  # as a pytree it also holds tracers, shardings and None
@flax.struct.dataclass
class VideoBatch:
    """Frames of every video once, and their subtitles' segments packed into rows."""

    features: Float[Array, "B F E"]
    """Of one video for each row of `frame_mask`, or for each run of equally many rows:
    copies of the video that are read beside different texts."""
    frame_mask: Bool[Array, "B F"]
    tokens: Int[Array, "R L"]
    segment: Int[Array, "R L"]
    position: Int[Array, "R L"]
    frame: Int[Array, "R L"]
    """Flat index b * F + f of the video frame in a frame slot, -1 elsewhere."""
    owner: Int[Array, "B F"] | None = None
    """Flat index r * L + l of the one slot that holds a frame, -1 for none.

    Present only where the packer has checked that no frame has two owners; then one
    gather brings the rows back onto the frames, otherwise a segment sum does.
    """
    num_groups: int = flax.struct.field(pytree_node=False, default=1)
    subtitle: Int[Array, "B N"] | None = None
    """Flat index r * L + l of the first word of each segment of a video, in order; -1
    behind the last. Present only where subtitles are read as a sequence (fusion.py)."""
    sees_frames: bool = flax.struct.field(pytree_node=False, default=True)
    """Without it subtitles alone are read: frame slots only say where these belong."""
