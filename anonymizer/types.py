"""The frozen value objects that stages exchange; every unit and shape is defined here once.

Coordinates: pixels of the source frame, x to the right, y down, origin at the top-left corner of the
top-left pixel. Boxes are float32 `x1, y1, x2, y2` with x2 and y2 exclusive. Times ending in `_ns` are
integers; `captured_ns` is on the injected monotonic clock, `wall_ns` is Unix time, `pts_ns` is the stream's.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from anonymizer.pose import STILL, Pose

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Box = tuple[float, float, float, float]  # x1 y1 x2 y2 of one box; arrays hold many


class Target(enum.IntEnum):
    """What a detection or track is; the one class numbering behind the model families."""

    PERSON = 0
    FACE = 1


class Stage(enum.StrEnum):
    """The stages of the pipeline, as metrics and logs name them."""

    CAPTURE = "capture"
    DETECT = "detect"
    TRACK = "track"
    REDACT = "redact"
    ENCODE = "encode"
    PUBLISH = "publish"


class Outcome(enum.StrEnum):
    """What became of a frame in a stage."""

    OK = "ok"
    DROPPED = "dropped"
    SKIPPED = "skipped"  # left out under load, on purpose
    FAILED = "failed"


class Reason(enum.StrEnum):
    """Why pixels are masked: of one region, or of a whole frame."""

    DETECTION = "detection"
    TRACK = "track"
    ZONE = "zone"  # of the settings
    ATTENTION = "attention"  # somebody whom no detection or track explains
    STARTING = "starting"  # nothing has been detected yet on this connection
    STALE = "stale"  # the newest detection is older than max_detection_age
    INFERENCE_FAILED = "inference_failed"
    INVALID_OUTPUT = "invalid_output"  # NaN, infinite or impossible model output
    SUSPECT_DECODE = "suspect_decode"  # decode error, corrupt flag or packet loss since the last key frame
    CAMERA_CHANGED = "camera_changed"  # resolution or codec changed; old tracks mean nothing
    CAMERA_MOVED = "camera_moved"  # it turns, was moved or shows another scene; nothing known applies to that
    ATTENTION_FAILED = "attention_failed"  # in mode strict
    NO_SIGNAL = "no_signal"  # placeholder while the camera is away
    POLICY_FAILED = "policy_failed"  # the policy or tracker itself raised


REGION_REASONS = frozenset({Reason.DETECTION, Reason.TRACK, Reason.ZONE, Reason.ATTENTION})  # never of a whole frame


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Colour:
    """How Y, U, V map to RGB."""

    full_range: bool = False  # True: 0-255 (JPEG), False: 16-235 (video)
    bt709: bool = True  # False: BT.601


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """A 4:2:0 picture: Y (H, W), U and V (H/2, W/2) uint8, H and W even; rows may be strided."""

    y: U8
    u: U8
    v: U8

    @property
    def size(self) -> Size:
        """Luma size in pixels."""
        return Size(int(self.y.shape[1]), int(self.y.shape[0]))


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded picture of a camera: RAW and sensitive; planes are read-only."""

    camera_id: str
    seq: int  # counts up by one a frame, never reused within one run of a camera
    epoch: int  # counts connections and mid-stream changes; tracks never cross an epoch
    pts_ns: int
    captured_ns: int  # monotonic, taken when the decoder handed the picture over
    wall_ns: int
    planes: Planes
    colour: Colour = Colour()
    suspect: bool = False  # damaged, or predicted from damaged pictures: mask it whole
    pixel_aspect: Fraction = Fraction(1)  # width of a pixel by its height; players stretch the picture so
    pose: Pose = STILL  # where the camera points

    @property
    def size(self) -> Size:
        """Luma size in pixels."""
        return self.planes.size

    def __repr__(self) -> str:
        return f"Frame({self.camera_id!r}, seq={self.seq}, {self.size}, suspect={self.suspect})"


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """Where in a frame somebody may be: a grid of equal cells that covers all of it."""

    cells: F32  # (rows, columns) 0-1, finite; a cell is hot from HOT on
    presence: float  # 0-1 that there is anybody at all


HOT = 0.5  # value of a cell that says: look here


@dataclass(frozen=True, slots=True)
class Likeness:
    """How far a face is from an enrolled person; 0: the same picture, 2: as far as can be."""

    name: str
    alias: str  # what logs call that person
    distance: float  # between embeddings of length 1, to the nearest template; may be NaN when the embedder is broken


@dataclass(frozen=True, slots=True)
class FaceVote:
    """How much one face of a frame resembles each enrolled person."""

    index: int  # of the face in the detections
    likenesses: tuple[Likeness, ...]  # to everybody whose consent lasts; empty: the face could not be embedded
    is_clear: bool = True  # False: small, or turned a little to the side, where people look more alike


@dataclass(frozen=True, slots=True)
class Silhouette:
    """The shape of one detected person, in the frame of the detection and in no other."""

    box: Box  # the detection's own, unchanged: the outline holds for no other box
    outline: tuple[tuple[float, float], ...]  # a polygon around the shape, source pixels


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What the detectors found in one frame; all arrays share N, N may be 0."""

    camera_id: str
    seq: int
    epoch: int
    boxes: F32  # (N, 4) x1 y1 x2 y2, source pixels, finite, clipped to the frame
    scores: F32  # (N,) 0-1
    class_ids: I32  # (N,) values of Target
    model: str = ""
    heat: Heat | None = None  # None: attention did not look, or failed
    attention_failed: bool = False  # attention should have looked and could not
    silhouettes: tuple[Silhouette, ...] = ()  # of the persons whose shape is certain
    votes: tuple[FaceVote, ...] = ()  # about faces that are clear enough, on cameras that recognise people

    def __len__(self) -> int:
        return int(self.boxes.shape[0])


@dataclass(frozen=True, slots=True)
class InferenceFailed:
    """The detectors could not answer for one frame."""

    camera_id: str
    seq: int
    epoch: int
    reason: Reason  # INFERENCE_FAILED or INVALID_OUTPUT
    detail: str  # for the log; never holds pixels or secrets


class TrackState(enum.StrEnum):
    """Life of a track."""

    TENTATIVE = "tentative"
    CONFIRMED = "confirmed"
    COASTING = "coasting"  # confirmed, unseen for now


@dataclass(frozen=True, slots=True)
class Track:
    """One object followed over time, as predicted for one frame."""

    track_id: int
    target: Target
    box: Box  # x1 y1 x2 y2, source pixels, not clipped
    score: float
    state: TrackState
    unseen_ns: int  # time since a detection last supported it; 0: supported in this frame
    spread_px: tuple[float, float] = (0.0, 0.0)  # one-sigma position uncertainty in x and y
    is_followed: bool = False  # its newest sighting is where the one in the look before it had led to expect it
    is_recent: bool = False  # the models passed this frame over, and the newest look before it found the object
    excess_px: float = 0.0  # how much higher the box is than the object, because it encloses two places


class Shape(enum.StrEnum):
    """Outline of a masked region."""

    BOX = "box"
    ELLIPSE = "ellipse"


class Effect(enum.StrEnum):
    """How a region is made unrecognisable."""

    FILL = "fill"
    MOSAIC = "mosaic"
    BLUR = "blur"
    NOISE = "noise"
    IMAGE = "image"
    SILHOUETTE = "silhouette"  # the fill, within a person's outline where that is certain


@dataclass(frozen=True, slots=True)
class Region:
    """One area to redact; the box already contains every margin and may reach over the frame's edge."""

    box: Box
    shape: Shape
    effect: Effect
    reason: Reason
    target: Target | None = None
    track_id: int | None = None  # of the track that it follows, if it follows one
    outline: tuple[tuple[float, float], ...] | None = None  # a polygon in source pixels instead of `shape`


class Doubt(enum.StrEnum):
    """Why somebody who might stay visible is masked all the same."""

    FEW_VOTES = "few_votes"  # too few agree so far
    NO_VOTE = "no_vote"  # there is none soon before and soon after the frame
    DISAGREEMENT = "disagreement"  # the vote before or after the frame is for somebody else
    TWO_CLAIMS = "two_claims"  # somebody else in the picture has votes for the same person
    STALE_TRACK = "stale_track"  # it is not certain that the track is still on the same person
    SMALL = "small"
    NEAR_FACE = "near_face"  # another face is so near that they may be mixed up
    COVERED = "covered"  # somebody else's body overlaps the face, or it is unclear which body is the face's
    WHOLE_FRAME = "whole_frame"  # the frame is masked whole
    EMBEDDER_FAILED = "embedder_failed"
    NOT_ENROLLED = "not_enrolled"  # a person named in the settings has no template, or it cannot be read
    CONSENT_ENDED = "consent_ended"  # the consent of a person named in the settings


@dataclass(frozen=True, slots=True)
class Spared:
    """A face that stays visible, and the body below it."""

    track_id: int
    who: str  # a name or pseudonym; with only_redact, the people whom it is not
    votes: int  # how many agree on that
    box: Box  # of the face, source pixels


@dataclass(frozen=True, slots=True)
class Refused:
    """A face that has votes for staying visible and is masked all the same."""

    track_id: int
    who: str
    doubt: Doubt


@dataclass(frozen=True, slots=True)
class RedactionPlan:
    """Everything the redactor must do to one frame."""

    seq: int
    regions: tuple[Region, ...] = ()
    whole_frame: Reason | None = None  # set: mask everything, regions do not matter
    spared: tuple[Spared, ...] = ()
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RedactedFrame:
    """The only picture that anything outward accepts; only `redact.redactor` makes one."""

    camera_id: str
    seq: int
    pts_ns: int
    captured_ns: int
    wall_ns: int
    i420: U8  # (H * 3 / 2, W) contiguous, read-only: Y, then U, then V
    colour: Colour
    whole_frame: Reason | None
    regions: tuple[Region, ...]  # what was masked; empty when the whole frame is
    spared: tuple[Box, ...] = ()  # faces that are visible on purpose, source pixels
    pixel_aspect: Fraction = Fraction(1)

    @property
    def size(self) -> Size:
        """Luma size in pixels."""
        return Size(int(self.i420.shape[1]), int(self.i420.shape[0]) * 2 // 3)

    @property
    def planes(self) -> Planes:
        """The three planes as views of `i420`."""
        height, width = self.size.height, self.size.width
        chroma = self.i420[height:].reshape(2, height // 2, width // 2)
        return Planes(self.i420[:height], chroma[0], chroma[1])

    def __repr__(self) -> str:
        return f"RedactedFrame({self.camera_id!r}, seq={self.seq}, {self.size}, whole_frame={self.whole_frame})"


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPacket:
    """One H.264 access unit (Annex B, parameter sets before every key frame) of a redacted stream."""

    camera_id: str
    pts_ns: int
    captured_ns: int
    data: bytes = field(repr=False)
    is_key: bool
    size: Size


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """Faces that another model found outside the masks of one published picture."""

    camera_id: str
    captured_ns: int
    wall_ns: int
    size: Size
    boxes: tuple[Box, ...]  # x1 y1 x2 y2, source pixels


class LinkState(enum.StrEnum):
    """State of the connection to a camera."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    WAITING = "waiting"  # pausing before the next attempt
    ENDED = "ended"  # a file that does not loop has been played


@dataclass(frozen=True, slots=True)
class LinkChange:
    """The connection to a camera changed state."""

    camera_id: str
    state: LinkState
    epoch: int
    detail: str = ""  # for people; redacted of credentials


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """A camera as the status page, /readyz and the watchdog see it."""

    camera_id: str
    link: LinkState
    detail: str
    size: Size | None
    fps_in: float
    fps_out: float
    latency_ms: float | None  # capture to publish, median of the last seconds
    whole_frame: Reason | None  # of the newest published frame
    published_ns: int | None  # monotonic time of the newest published frame
    tracks: int
    restarts: int
    load_level: int = 0  # of the governor: 0 no load, 1 masks are wider, 2 and more: frames are left out
