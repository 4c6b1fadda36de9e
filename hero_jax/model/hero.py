"""HERO: subtitles meet their frames locally, then frames meet one another."""

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from hero_jax.model import fusion, moment
from hero_jax.model.answer import AnswerHead, FrameVerdict
from hero_jax.model.decoder import CaptionDecoder, KeysValues
from hero_jax.model.dropout import Dropout, DropoutKind
from hero_jax.model.embeddings import (
    FrameEmbedding,
    MaskEmbedding,
    TextEmbedding,
    within,
)
from hero_jax.model.fusion import Fusion
from hero_jax.model.gather import gather, sum_at
from hero_jax.model.initial import Initializer
from hero_jax.model.language_model import WordHead
from hero_jax.model.layers import (
    FrameRegression,
    MlpHead,
    Numerics,
    PositionEmbedding,
    Projection,
)
from hero_jax.model.layout import TextBatch, VideoBatch
from hero_jax.model.query import QueryEncoder, mean_of_words
from hero_jax.model.transformer import Transformer, TransformerConfig
from hero_jax.types import Array, Bool, Float, Int


@dataclasses.dataclass(frozen=True)
class HeroConfig:
    """The size of a HERO. The defaults are the paper's."""

    vocab_size: int = 50272
    """V, rows of the word table; a multiple of 8 suits the hardware."""
    unused_words: int = 0
    """Rows at the end of the word table that are padding and never predicted."""
    feature_width: int = 4352
    """E, the width of a raw frame feature (ResNet 2048 and SlowFast 2304)."""
    max_positions: int = 514
    """Longest text in one segment, in tokens."""
    max_segment_frames: int = 100
    """Most frames that one subtitle is spoken over."""
    max_frames: int = 514
    """Most frames of a video, for the temporal tower."""
    max_query_positions: int = 514
    """Longest query, in tokens."""
    max_ordered_frames: int = 100
    """Most frames that frame order modelling can tell apart (A.7)."""
    cross_modal: TransformerConfig = TransformerConfig(num_layers=6)
    """Fuses one subtitle with the frames it is spoken over; reads queries, too."""
    temporal: TransformerConfig = TransformerConfig(num_layers=3)
    """Reads the whole video, frame by frame."""
    fusion: Fusion = "local"
    """How subtitles and frames meet: in the cross-modal tower, as in HERO, or each
    subtitle as one vector, as in VALUE's variants (A.9)."""
    score: moment.FrameScore = moment.FrameScore()
    """How a query's cosines with the frames of a video become one score."""
    query_heads: int = 12
    """Attention heads of the query encoder."""
    decoder: TransformerConfig | None = None
    """Writes captions (A.8: two layers); None where no task asks for any."""
    max_caption_positions: int = 1024
    """Longest caption, in tokens."""
    num_caption_languages: int = 1
    """Languages that captions are written in."""
    dropout: float = 0.1
    """Outside the two towers: on embeddings and projections."""
    dropout_kind: DropoutKind = "hash"
    """Random bits from a cheap counter hash, or from `jax.random.bernoulli`."""
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"
    """What the layers compute in; parameters are float32."""
    official: bool = False
    """Repeats the official masks and padding leak (H-12), for parity."""
    initializer: Initializer = "official"
    """How parameters begin (`initial.py`); "transparent" suits small models that learn
    from nothing."""

    def __post_init__(self) -> None:
        if self.cross_modal.width != self.temporal.width:
            raise ValueError(
                f"HeroConfig: cross_modal.width is {self.cross_modal.width} but "
                f"temporal.width is {self.temporal.width}: make them equal"
            )
        if self.decoder and self.decoder.width != self.width:
            raise ValueError(
                f"HeroConfig: decoder.width is {self.decoder.width} but "
                f"cross_modal.width is {self.width}: make them equal"
            )
        if self.width % self.query_heads:
            raise ValueError(
                f"HeroConfig: width {self.width} does not divide into query_heads "
                f"{self.query_heads}: choose a divisor"
            )

    @property
    def width(self) -> int:
        """D, the size of every hidden vector."""
        return self.cross_modal.width

    @property
    def numerics(self) -> Numerics:
        return Numerics(self.dtype, self.dropout_kind, self.official)


class Hero(nn.Module):
    """The hierarchical encoder shared by every task, and its general heads.

    All parts of the official model are declared; one gets parameters only when
    something uses it while initialising, so a run holds what its tasks use.
    """

    config: HeroConfig

    def setup(self) -> None:
        c, numerics = self.config, self.config.numerics
        self.text_embedding = TextEmbedding(
            c.vocab_size, c.max_positions, c.width, numerics
        )
        self.frame_embedding = FrameEmbedding(
            c.feature_width, c.max_segment_frames, c.width, numerics
        )
        self.embedding_dropout = Dropout(c.dropout, c.dropout_kind)
        self.cross_modal = Transformer(c.cross_modal, numerics)
        self.frame_mask = MaskEmbedding(c.feature_width, numerics)
        self.frame_transform = Projection(c.width, c.dropout, numerics)
        if c.fusion in ("add", "concat"):
            self.fusion: Any = fusion.FeatureFusion(
                c.width, c.dropout, numerics, is_joined=c.fusion == "concat"
            )
        if c.fusion == "sequence":
            self.fusion = fusion.SequenceEmbedding(
                c.feature_width,
                c.max_segment_frames,
                c.max_positions,
                c.width,
                numerics,
            )
        self.temporal_embedding = PositionEmbedding(c.max_frames, numerics)
        self.temporal = Transformer(c.temporal, numerics)
        self.query = QueryEncoder(
            c.width, c.query_heads, c.max_query_positions, c.dropout, numerics
        )
        self.span = moment.SpanPredictor(c.width, numerics)
        self.answer = AnswerHead(c.width, numerics)
        self.statement = FrameVerdict(c.width, numerics)
        self.word_head = WordHead(numerics)
        if c.decoder is not None:
            self.caption = CaptionDecoder(
                c.decoder, c.max_caption_positions, c.num_caption_languages, numerics
            )
        self.frame_regression = FrameRegression(c.feature_width, numerics)
        self.order_head = MlpHead(c.max_ordered_frames, numerics)

    def encode_videos(
        self,
        videos: VideoBatch,
        *,
        frame_is_masked: Bool[Array, "B F"] | None = None,
        train: bool = False,
    ) -> Float[Array, "B F D"]:
        """Frames that know their subtitles and one another."""
        if self.config.fusion == "sequence":
            both, mask = self.sequence(videos, train=train)
            read = self.temporal(both, mask.astype(jnp.int32), train=train)
            return read[:, : videos.frame_mask.shape[1]]
        fused = self.fuse(videos, frame_is_masked=frame_is_masked, train=train)
        return self.contextualise(fused, videos.frame_mask, train=train)

    def fuse(
        self,
        videos: VideoBatch,
        *,
        frame_is_masked: Bool[Array, "B F"] | None = None,
        train: bool = False,
    ) -> Float[Array, "B F D"]:
        """Frames with what their own subtitles add; one without meets none (H-21)."""
        features = features_of(videos).astype(self.config.numerics.compute)
        if frame_is_masked is not None:
            features = self.frame_mask(features, frame_is_masked)
        if self.config.fusion == "local":
            rows = self.cross_modal_rows(
                videos, frame_is_masked=frame_is_masked, train=train
            )
            rows = rows if videos.sees_frames else fusion.first_word(rows, videos)
        else:
            rows = self.subtitle_rows(videos, train=train)
        frames = for_copies(self.frame_transform(features, train=train), videos)
        spoken = onto_frames(rows, videos)
        if self.config.fusion == "local":
            return frames + spoken
        return self.fusion(frames, spoken, train=train)

    def subtitle_rows(
        self, videos: VideoBatch, *, train: bool = False
    ) -> Float[Array, "R L D"]:
        """At every slot of a segment the vector of its words, read without frames."""
        tokens, position, segment = fusion.text_slots(
            videos, has_padding=self.config.official
        )
        x = self.embedding_dropout(self.text_embedding(tokens, position), train=train)
        return fusion.greatest(self.cross_modal(x, segment, train=train), videos)

    def sequence(
        self, videos: VideoBatch, *, train: bool = False
    ) -> tuple[Float[Array, "B L D"], Bool[Array, "B L"]]:
        """Frames, behind them the subtitles, as the temporal tower reads them; and
        which of these are real."""
        if videos.subtitle is None:
            raise ValueError(
                'HeroConfig: fusion is "sequence", which reads every subtitle: choose '
                "Source(reads_every_line=True)"
            )
        rows = self.subtitle_rows(videos, train=train)
        spoken = gather(rows, videos.subtitle, num_groups=videos.num_groups)
        features = videos.features.astype(self.config.numerics.compute)
        frames, spoken = self.fusion(features, spoken)
        both = [for_copies(frames, videos), spoken]
        dropped = [self.embedding_dropout(x, train=train) for x in both]
        mask = [videos.frame_mask, videos.subtitle >= 0]
        return jnp.concatenate(dropped, axis=1), jnp.concatenate(mask, axis=1)

    def contextualise(
        self,
        fused: Float[Array, "B F D"],
        frame_mask: Bool[Array, "B F"],
        *,
        train: bool = False,
    ) -> Float[Array, "B F D"]:
        """The temporal tower over each whole video."""
        x = self.temporal_embedding(fused, jnp.arange(fused.shape[1])[None])
        x = self.embedding_dropout(x, train=train)
        return self.temporal(x, frame_mask.astype(jnp.int32), train=train)

    def contextualise_beside(
        self,
        fused: Float[Array, "B F D"],
        frame_mask: Bool[Array, "B F"],
        texts: TextBatch,
        *,
        train: bool = False,
    ) -> Float[Array, "B F D"]:
        """The temporal tower over each video and, behind it, its row of `texts` (D.4).

            row b    f f f f . | </s> who is it </s> Ann .     . padding

        Words come straight from their embedding, with their own positions.
        """
        places = within(jnp.arange(fused.shape[1])[None], self.config.max_frames)
        frames = self.temporal_embedding(fused, places)
        words = self.text_embedding(texts.tokens, texts.position)
        both = jnp.concatenate(
            [self.embedding_dropout(x, train=train) for x in (frames, words)], axis=1
        )
        segment = jnp.concatenate([frame_mask, texts.segment > 0], axis=1)
        read = self.temporal(both, segment.astype(jnp.int32), train=train)
        return read[:, : fused.shape[1]]

    def read_beside(
        self, videos: VideoBatch, texts: TextBatch, *, train: bool = False
    ) -> tuple[Float[Array, "B L D"], Bool[Array, "B L"]]:
        """Each video as it is with its row of `texts` read behind it, and its mask.

        In the sequence model (A.9) the subtitles stay behind the frames, and all of
        them have a position of the temporal tower once more.
        """
        if self.config.fusion == "sequence":
            fused, mask = self.sequence(videos, train=train)
        else:
            fused = self.fuse(videos, train=train)
            mask = jnp.asarray(videos.frame_mask)
        return self.contextualise_beside(fused, mask, texts, train=train), mask

    def cross_modal_rows(
        self,
        videos: VideoBatch,
        *,
        frame_is_masked: Bool[Array, "B F"] | None = None,
        train: bool = False,
    ) -> Float[Array, "R L D"]:
        """Hidden states of the packed rows, frame and token slots alike."""
        x = self.embed_rows(videos, frame_is_masked=frame_is_masked)
        x = self.embedding_dropout(x, train=train)
        segment = videos.segment
        if not videos.sees_frames:
            segment = jnp.where(videos.frame < 0, segment, 0)
        return self.cross_modal(x, segment, train=train)

    def embed_rows(
        self, videos: VideoBatch, *, frame_is_masked: Bool[Array, "B F"] | None = None
    ) -> Float[Array, "R L D"]:
        """Slots before the cross-modal tower. Indices of the other kind are set to 0:
        a position that one table holds may lie outside the other."""
        features = features_of(videos).astype(self.config.numerics.compute)
        is_frame = videos.frame >= 0
        words = self.text_embedding(
            jnp.where(is_frame, 0, videos.tokens),
            jnp.where(is_frame, 0, videos.position),
        )
        projected = self.frame_embedding.project(features, frame_is_masked)
        projected = for_copies(projected, videos)
        frames = self.frame_embedding(
            gather(projected, videos.frame, num_groups=videos.num_groups),
            jnp.where(is_frame, videos.position, 0),
            self.text_embedding.constant_type(),
        )
        return jnp.where(is_frame[..., None], frames, words)

    def encode_texts(
        self, texts: TextBatch, *, train: bool = False, layer: int | None = None
    ) -> Float[Array, "R L D"]:
        """Text alone, read by the cross-modal tower: one vector a token.

        Of the last layer, or of layer number `layer`; 0 is the embedding.
        """
        x = self.text_embedding(texts.tokens, texts.position)
        x = self.embedding_dropout(x, train=train)
        return self.cross_modal(x, texts.segment, train=train, layer=layer)

    def mean_words(
        self, texts: TextBatch, *, layer: int | None = None, train: bool = False
    ) -> Float[Array, "Q D"]:
        """Mean over the words of each text, as a layer of the tower reads them."""
        return mean_of_words(self.encode_texts(texts, train=train, layer=layer), texts)

    def encode_queries(
        self, texts: TextBatch, *, train: bool = False
    ) -> Float[Array, "Q D"]:
        """One vector a query; zeros where there is no query."""
        return self.query(self.encode_texts(texts, train=train), texts, train=train)

    def video_scores(
        self,
        queries: Float[Array, "Q D"],
        frames: Float[Array, "B F D"],
        frame_mask: Bool[Array, "B F"],
    ) -> Float[Array, "Q B"]:
        """Cosines of each query with the frames of each video, as one score."""
        return moment.video_scores(queries, frames, frame_mask, self.config.score)

    def span_logits(
        self,
        queries: Float[Array, "Q D"],
        frames: Float[Array, "Q F D"],
        frame_mask: Bool[Array, "Q F"],
    ) -> tuple[Float[Array, "Q F"], Float[Array, "Q F"]]:
        """Logits of the first and last frame of query q's moment in video q."""
        return self.span(queries, frames, frame_mask)

    def all_span_logits(
        self,
        queries: Float[Array, "Q D"],
        frames: Float[Array, "B F D"],
        frame_mask: Bool[Array, "B F"],
    ) -> tuple[Float[Array, "Q B F"], Float[Array, "Q B F"]]:
        """The same for every query in every video."""
        return self.span.everywhere(queries, frames, frame_mask)

    def caption_states(
        self,
        tokens: Int[Array, "N T"],
        frames: Float[Array, "N F D"],
        frame_mask: Bool[Array, "N F"],
        language: Int[Array, "N"],
        *,
        train: bool = False,
    ) -> Float[Array, "N T D"]:
        """What stands for the next word behind each word of a caption.

        `frames` are those of caption n's moment, `language` is the number of the
        language it is written in. `word_logits` makes words of the result.
        """
        words, seen = self.text_embedding.words(tokens), self.caption.look(frames)
        return self.caption(words, seen, frame_mask, language, train=train)

    def begin_captions(
        self, frames: Float[Array, "N F D"], length: int
    ) -> tuple[KeysValues, KeysValues]:
        """What every step of writing reads, and room for `length` words."""
        return self.caption.look(frames), self.caption.no_past(len(frames), length)

    def next_word_logits(
        self,
        tokens: Int[Array, "N"],
        place: Int[Array, ""],
        past: KeysValues,
        frames: KeysValues,
        frame_mask: Bool[Array, "N F"],
        language: Int[Array, "N"],
    ) -> tuple[Float[Array, "N V"], KeysValues]:
        """Logits of the word behind the one at `place`; `past` gains that one."""
        words = self.text_embedding.words(tokens)
        states, past = self.caption.step(
            words, place, past, frames, frame_mask, language
        )
        return self.word_logits(states), past

    def word_logits(self, hidden: Float[Array, "M D"]) -> Float[Array, "M V"]:
        """Which word each hidden vector stands for."""
        logits = self.word_head(hidden, self.text_embedding.word.embedding)
        return logits[:, : self.config.vocab_size - self.config.unused_words]

    def frame_features(self, frames: Float[Array, "B F D"]) -> Float[Array, "B F E"]:
        """The raw feature each frame vector stands for."""
        return self.frame_regression(frames)

    def frame_order(self, frames: Float[Array, "B F D"]) -> Float[Array, "B F V"]:
        """Logits of where in the video each frame was."""
        return self.order_head(frames)


def features_of(videos: VideoBatch) -> Float[Array, "B F E"]:
    """Zeros of the same shape where subtitles alone are read (B.8)."""
    features = jnp.asarray(videos.features)
    return features if videos.sees_frames else jnp.zeros_like(features)


def for_copies(
    frames: Float[Array, "B1 F D"], videos: VideoBatch
) -> Float[Array, "B2 F D"]:
    """Frames as often as their video is read; mostly once."""
    num_copies = videos.frame_mask.shape[0] // frames.shape[0]
    return frames if num_copies == 1 else jnp.repeat(frames, num_copies, axis=0)


def onto_frames(
    rows: Float[Array, "R L D"], videos: VideoBatch
) -> Float[Array, "B F D"]:
    """What the rows say about each frame: a sum over the slots that hold it.

    One gather does it where the packer has checked that no frame has two owners.
    """
    if videos.owner is not None:
        return gather(rows, videos.owner, num_groups=videos.num_groups)
    B, F = videos.frame_mask.shape
    return sum_at(rows, videos.frame, (B, F), num_groups=videos.num_groups)
