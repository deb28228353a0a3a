"""Every setting with its type, unit, range and default; the only place where defaults live."""

from __future__ import annotations

import enum
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from anonymizer.polygon import Point, crosses_itself
from anonymizer.settings.address import CameraUrl, ListenAddress, PushUrl, WebAddress
from anonymizer.settings.identities import IdentifySettings, IdentitiesSettings
from anonymizer.settings.section import Section, problem
from anonymizer.types import Effect, Shape, Target

OFF = "off"  # in place of a model's name
SURROUND = "surround"  # in place of a fill colour: the mean of the pixels around the region


def _fill_colour(text: str) -> str:
    if text != SURROUND and not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise problem(f"must be a colour in quotes, such as '#00ff7f', or {SURROUND}")
    return text


def _polygon(points: tuple[tuple[float, ...], ...]) -> tuple[Point, ...]:
    corners = []
    for index, point in enumerate(points):
        if len(point) != 2:
            raise problem("must be two numbers, [x, y]", index)
        if not all(0 <= value <= 1 for value in point):
            raise problem("must be fractions of the picture's width and height, 0 to 1, from its top left", index)
        corners.append((point[0], point[1]))
    if len(set(corners)) < 3 or len(set(corners)) < len(corners):
        raise problem("needs three or more points, all different: [[x, y], [x, y], [x, y]]")
    if crosses_itself(corners):
        raise problem("crosses or touches itself; give the corners in order, once around")
    return tuple(corners)


CameraId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
FillColour = Annotated[str, AfterValidator(_fill_colour)]
Polygon = Annotated[tuple[tuple[float, ...], ...], AfterValidator(_polygon)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Transport(enum.StrEnum):
    """Transport of the RTP packets."""

    TCP = "tcp"
    UDP = "udp"


class TargetName(enum.StrEnum):
    """What to mask, as the YAML names it."""

    FACE = "face"
    HEAD = "head"  # the upper part of persons
    PERSON = "person"

    @property
    def target(self) -> Target:
        """What the models detect in order to mask it."""
        return Target.FACE if self is TargetName.FACE else Target.PERSON


class Mode(enum.StrEnum):
    """Which of privacy, picture and delay comes first."""

    BALANCED = "balanced"
    STRICT = "strict"  # masks what is only suspected
    LIVE = "live"  # balanced without look-ahead


class MaskSettings(Section):
    """How one kind of target is masked."""

    effect: Effect = Effect.FILL
    shape: Shape = Shape.BOX
    margin: float = Field(default=0.2, ge=0.0, le=2.0)  # fraction of the box, added on each side


class RedactSettings(Section):
    """How masks look."""

    face: MaskSettings = MaskSettings(shape=Shape.ELLIPSE, margin=0.3)
    head: MaskSettings = MaskSettings(margin=0.4)
    person: MaskSettings = MaskSettings(margin=0.1)
    zone_effect: Effect = Effect.FILL
    mosaic_cells: int = Field(default=6, ge=1, le=6)  # along the shorter side of a region
    mosaic_frozen: bool = False  # a track keeps the cells of its first frame
    fill_colour: FillColour = "#000000"  # or SURROUND; also the ground of an image
    image: bytes | None = Field(default=None, repr=False)  # a picture file; the YAML names it, the loader reads it
    soft_edge_px: int = Field(default=0, ge=0, le=64)  # width of the rim around a region in which the effect fades out


class PrivacySettings(Section):
    """Who is masked, and how long a frame waits until that is known."""

    mode: Mode = Mode.BALANCED
    targets: tuple[TargetName, ...] = (TargetName.FACE, TargetName.PERSON)
    zones: tuple[Polygon, ...] = ()  # always masked
    areas: tuple[Polygon, ...] = ()  # if any are given, only people who touch one are masked
    min_face_height: float | None = Field(default=None, ge=0, lt=1)  # fractions of the frame's height
    max_face_height: float | None = Field(default=None, gt=0, le=1)
    min_person_height: float | None = Field(default=None, ge=0, lt=1)
    max_person_height: float | None = Field(default=None, gt=0, le=1)
    max_detection_age_ms: int = Field(default=400, ge=0, le=5000)
    lookahead_ms: int = Field(default=500, ge=0, le=3000)  # how long frames are held to learn from later ones
    max_wait_ms: int = Field(default=180, ge=0, le=5000)  # how much longer a frame may wait for its detections
    hold_ms: int = Field(default=1000, ge=0, le=10000)  # longest gap between two sightings that stays masked

    @field_validator("targets")
    @classmethod
    def _has_targets(cls, targets: tuple[TargetName, ...]) -> tuple[TargetName, ...]:
        if not targets:
            raise problem("name at least one of face, head, person")
        return targets

    @model_validator(mode="after")
    def _some_heights_count(self) -> Self:
        for target in ("face", "person"):
            least, most = getattr(self, f"min_{target}_height"), getattr(self, f"max_{target}_height")
            if least is not None and most is not None and least >= most:
                raise problem(f"must be more than min_{target}_height, or nobody is masked", f"max_{target}_height")
        return self

    @property
    def masks_every_face(self) -> bool:
        """Whether every face is masked, so that the audit may report any visible one."""
        limits = (self.min_face_height, self.max_face_height)
        return TargetName.FACE in self.targets and not self.areas and limits == (None, None)

    @property
    def effective_lookahead_ms(self) -> int:
        """How long frames are held in this mode."""
        return 0 if self.mode is Mode.LIVE else self.lookahead_ms

    @property
    def tail_ms(self) -> int:
        """How long a track is kept, unseen, if the look-ahead does not show it again.

        Frames within the look-ahead before the next sighting are masked in hindsight, so together with it no gap of up
        to hold_ms stays bare, even if frames at its ends were passed over.
        """
        return min(self.hold_ms, max(self.hold_ms - self.effective_lookahead_ms, self.hold_ms // 2) + self.max_wait_ms)


def masks_by_shape(privacy: PrivacySettings, redact: RedactSettings) -> bool:
    """Whether persons are masked by their shape instead of a box."""
    return redact.person.effect is Effect.SILHOUETTE and TargetName.PERSON in privacy.targets


class CameraSettings(Section):
    """One camera and its outputs."""

    id: CameraId
    url: CameraUrl = Field(repr=False)  # may hold credentials
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None  # the loader reads it into `password`
    transport: Transport = Transport.TCP
    open_timeout_s: float = Field(default=8.0, gt=0, le=60)
    read_timeout_s: float = Field(default=4.0, gt=0, le=60)
    max_fps: float | None = Field(default=None, ge=0.5, le=120)
    loop: bool = True  # files only: start again at the end
    reach_px: int | None = Field(default=None, ge=6, le=1000)  # height of the smallest face to be found; None: detect's
    push_url: PushUrl | None = Field(default=None, repr=False)  # also send the redacted stream to this RTSP server
    privacy: PrivacySettings | None = None  # None: the section of the whole site; the loader fills it in
    redact: RedactSettings | None = None  # as privacy
    identities: IdentitiesSettings = IdentitiesSettings()

    @model_validator(mode="after")
    def _a_password_has_a_username(self) -> Self:
        if (self.password or self.password_file) and not self.username and "@" not in self.url:
            raise problem("a password needs the username that it belongs to", "username")
        return self


class DelegateName(enum.StrEnum):
    """What computes a model."""

    XNNPACK = "xnnpack"  # the CPU, with the runtime's best kernels
    NONE = "none"  # the CPU, with the plain kernels
    EDGETPU = "edgetpu"
    GPU = "gpu"
    EXTERNAL = "external"  # any other plug-in


class DetectSettings(Section):
    """Models and how to run them."""

    face_model: str = "centerface-960-int8"
    person_model: str = "nanodet-g-640-int8"
    models_dir: Path | None = None  # None: the models that came with the program
    face_threshold: float | None = Field(default=None, gt=0, lt=1)  # least score; None: the model's own
    person_threshold: float | None = Field(default=None, gt=0, lt=1)  # None: the model's own
    nms_iou: float = Field(default=0.4, gt=0, lt=1)
    max_detections: int = Field(default=1000, ge=1, le=5000)  # of each class in one frame
    threads: int = Field(default=1, ge=1, le=16)  # CPU threads of one model
    reach_px: int | None = Field(default=None, ge=6, le=1000)  # height of the smallest face to be found; None: no tiles
    budget_ms: int | None = Field(
        default=None, ge=10, le=5000
    )  # time for the faces of one frame; None: every tile in every frame
    attention: str = "visual-wake-words-int8"  # used in mode strict, and to order tiles within budget_ms; or OFF
    silhouette_budget_ms: int = Field(
        default=100, ge=10, le=5000
    )  # time for the silhouettes of all persons of one frame
    delegate: DelegateName = DelegateName.XNNPACK
    delegate_library: str | None = None  # None: the usual name of the library of edgetpu or gpu
    delegate_options: dict[str, str] = Field(default_factory=dict)
    delegate_fallback: bool = False  # to xnnpack, when the delegate does not start

    @model_validator(mode="after")
    def _only_plug_ins_have_a_library(self) -> Self:
        on_cpu = self.delegate in (DelegateName.XNNPACK, DelegateName.NONE)
        if on_cpu and (self.delegate_library or self.delegate_options):
            raise problem(f"{self.delegate} takes no library and no options; set edgetpu, gpu or external", "delegate")
        if self.delegate is DelegateName.EXTERNAL and not self.delegate_library:
            raise problem("external needs the file of the plug-in", "delegate_library")
        return self


LOOKS_PER_S = 7.0  # frames a second for the models where none is set and nobody may show by name or shape
EVERY_PICTURE = 120.0  # more than cameras send


class TrackSettings(Section):
    """How detections are followed over time."""

    high_score: float = Field(default=0.35, gt=0, lt=1)
    match_iou: float = Field(default=0.2, gt=0, lt=1)
    confirm_hits: int = Field(default=2, ge=1, le=10)
    looks_per_s: float | None = Field(
        default=None, ge=3, le=120
    )  # most frames of a camera that the models get; None: LOOKS_PER_S
    quiet_looks_per_s: float = Field(default=3.0, ge=3, le=120)  # while nothing moves in the picture


class AuditSettings(Section):
    """Looking again at what was published, with another model."""

    enabled: bool = True
    model: str = "anonymizer-face-small-int8"  # of another origin than the pipeline's: it errs elsewhere
    threshold: float = Field(default=0.8, gt=0, lt=1)
    interval_s: float = Field(default=1.5, ge=0.5, le=3600)  # of one camera
    webhook_url: WebAddress | None = None  # may hold credentials


class HardwareEncoding(enum.StrEnum):
    """Whether to look for a hardware encoder."""

    AUTO = "auto"
    OFF = "off"


class Preset(enum.StrEnum):
    """Presets of libx264, from fast to small: each next one spends more CPU to send fewer bytes."""

    ULTRAFAST = "ultrafast"
    SUPERFAST = "superfast"
    VERYFAST = "veryfast"
    FASTER = "faster"
    FAST = "fast"
    MEDIUM = "medium"


class EncodeSettings(Section):
    """H.264 output."""

    hardware: HardwareEncoding = HardwareEncoding.AUTO
    preset: Preset = Preset.SUPERFAST
    crf: int = Field(default=26, ge=10, le=45)
    max_bitrate_kbps: int = Field(default=6000, ge=100, le=100000)
    key_interval_s: float = Field(default=2.0, gt=0, le=30)


class ListenerSettings(Section):
    """Who may connect to a server of ours: this machine only, or others with a password."""

    enabled: bool = True
    listen: ListenAddress = "127.0.0.1"
    port: Port
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None  # the loader reads it into `password`

    @property
    def loopback(self) -> bool:
        """Whether only programs on this machine can connect."""
        return self.listen == "localhost" or ipaddress.ip_address(self.listen).is_loopback

    @model_validator(mode="after")
    def _others_need_a_password(self) -> Self:
        secret = bool(self.password or self.password_file)
        if self.enabled and not self.loopback and not (self.username and secret):
            text = "other machines could connect; set username and password_file beside it, or listen on 127.0.0.1"
            raise problem(text, "listen")
        if bool(self.username) != secret:
            raise problem("username and password need each other; set both or none", "username")
        return self


class RtspSettings(ListenerSettings):
    """The built-in RTSP server."""

    port: Port = 8554
    max_clients: int = Field(default=32, ge=1, le=1000)


class WebSettings(ListenerSettings):
    """Status page, live pictures, health and metrics."""

    port: Port = 8080
    mjpeg_fps: float = Field(default=5.0, gt=0, le=30)
    mjpeg_quality: int = Field(default=75, ge=10, le=95)
    mjpeg_max_width: int = Field(default=1280, ge=160, le=3840)  # px
    max_streams: int = Field(default=16, ge=1, le=200)


class LogLevel(enum.StrEnum):
    """Least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """How a log line looks."""

    AUTO = "auto"  # journald prefixes under systemd, else plain
    PLAIN = "plain"
    JSON = "json"


class LogSettings(Section):
    """What is logged and how."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.AUTO


class Settings(Section):
    """The whole YAML file."""

    cameras: tuple[CameraSettings, ...] = ()
    privacy: PrivacySettings = PrivacySettings()
    redact: RedactSettings = RedactSettings()
    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    audit: AuditSettings = AuditSettings()
    identify: IdentifySettings = IdentifySettings()
    encode: EncodeSettings = EncodeSettings()
    rtsp: RtspSettings = RtspSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    @field_validator("cameras")
    @classmethod
    def _camera_ids_are_unique(cls, cameras: tuple[CameraSettings, ...]) -> tuple[CameraSettings, ...]:
        for index, camera in enumerate(cameras):
            if any(camera.id == other.id for other in cameras[:index]):
                raise problem(f"two cameras have the id {camera.id!r}; give each its own", index, "id")
        return cameras

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.rtsp.enabled and self.web.enabled and self.rtsp.port == self.web.port:
            raise problem("rtsp has this port already; give each its own", "web", "port")
        return self
