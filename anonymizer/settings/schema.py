"""Every setting with its type, unit, range and default; the only place where defaults live."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from anonymizer.types import Effect, Shape, Target

CameraId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(BaseModel):
    """A YAML mapping: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Transport(enum.StrEnum):
    """How RTP reaches us."""

    TCP = "tcp"
    UDP = "udp"


class TargetName(enum.StrEnum):
    """What to mask, as the YAML names it."""

    FACE = "face"
    PERSON = "person"

    @property
    def target(self) -> Target:
        """The class behind the name."""
        return Target[self.name]


class MaskSettings(Section):
    """How one kind of target is masked."""

    effect: Effect = Effect.MOSAIC
    shape: Shape = Shape.BOX
    margin: float = Field(default=0.2, ge=0.0, le=2.0)  # fraction of the box, added on each side


class RedactSettings(Section):
    """How things look once masked."""

    face: MaskSettings = MaskSettings(shape=Shape.ELLIPSE, margin=0.3)
    person: MaskSettings = MaskSettings(margin=0.1)
    mosaic_cells: int = Field(default=6, ge=1, le=6)  # across the shorter side of a region
    fill_luma: int = Field(default=16, ge=0, le=255)


class PrivacySettings(Section):
    """When a frame may leave, and what happens in doubt."""

    targets: tuple[TargetName, ...] = (TargetName.FACE, TargetName.PERSON)
    max_detection_age_ms: int = Field(default=400, ge=0, le=5000)
    max_wait_ms: int = Field(default=180, ge=0, le=5000)  # how long a frame waits for a detection
    hold_ms: int = Field(default=1000, ge=0, le=10000)  # how long a track masks while unseen

    @model_validator(mode="after")
    def _has_targets(self) -> PrivacySettings:
        if not self.targets:
            raise ValueError("name at least one target: face, person")
        return self


class CameraSettings(Section):
    """One camera and its outputs."""

    id: CameraId
    url: str = Field(min_length=3)  # rtsp:// rtsps:// http(s):// file:// /dev/videoN demo://
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None  # relative names are looked up in $CREDENTIALS_DIRECTORY
    transport: Transport = Transport.TCP
    open_timeout_s: float = Field(default=8.0, gt=0, le=60)
    read_timeout_s: float = Field(default=4.0, gt=0, le=60)
    max_fps: float | None = Field(default=None, gt=0, le=120)
    loop: bool = True  # files only: start again at the end
    push_url: str | None = None  # also send the redacted stream to this RTSP server
    privacy: PrivacySettings | None = None  # None: the section of the whole site
    redact: RedactSettings | None = None


class DetectSettings(Section):
    """Models and how to run them."""

    face_model: str = "centerface-int8"
    person_model: str = "ssd-mobilenet-v2-int8"
    models_dir: Path | None = None  # None: the models that came with the program
    face_threshold: float = Field(default=0.25, gt=0, lt=1)
    person_threshold: float = Field(default=0.3, gt=0, lt=1)
    nms_iou: float = Field(default=0.4, gt=0, lt=1)
    max_detections: int = Field(default=500, ge=1, le=5000)  # of each class in one frame
    threads: int = Field(default=1, ge=1, le=16)  # CPU threads of one model


class TrackSettings(Section):
    """How detections are followed over time."""

    high_score: float = Field(default=0.5, gt=0, lt=1)
    match_iou: float = Field(default=0.2, gt=0, lt=1)
    confirm_hits: int = Field(default=2, ge=1, le=10)


class HardwareEncoding(enum.StrEnum):
    """Whether to look for a hardware encoder."""

    AUTO = "auto"
    OFF = "off"


class EncodeSettings(Section):
    """H.264 output."""

    hardware: HardwareEncoding = HardwareEncoding.AUTO
    preset: str = Field(default="superfast", pattern="^(ultrafast|superfast|veryfast|faster|fast|medium)$")
    crf: int = Field(default=26, ge=10, le=45)
    max_bitrate_kbps: int = Field(default=6000, ge=100, le=100000)
    key_interval_s: float = Field(default=2.0, gt=0, le=30)


class RtspSettings(Section):
    """The built-in RTSP server."""

    enabled: bool = True
    listen: str = "127.0.0.1"
    port: Port = 8554
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    max_clients: int = Field(default=32, ge=1, le=1000)


class WebSettings(Section):
    """Status page, live pictures, health and metrics."""

    enabled: bool = True
    listen: str = "127.0.0.1"
    port: Port = 8080
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    mjpeg_fps: float = Field(default=5.0, gt=0, le=30)
    mjpeg_quality: int = Field(default=75, ge=10, le=95)
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
    encode: EncodeSettings = EncodeSettings()
    rtsp: RtspSettings = RtspSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _camera_ids_are_unique(self) -> Settings:
        seen: set[str] = set()
        for camera in self.cameras:
            if camera.id in seen:
                raise ValueError(f"two cameras have the id {camera.id!r}; give each its own")
            seen.add(camera.id)
        return self
