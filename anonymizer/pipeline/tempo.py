"""Whether looks come often and soon enough for the frames between them, told from how long one takes."""

from __future__ import annotations

from dataclasses import dataclass

from anonymizer.pipeline.governor import WIDER
from anonymizer.settings.schema import PrivacySettings


@dataclass(frozen=True, slots=True)
class Tempo:
    """When the detector looks at a camera, in milliseconds."""

    period_ms: float  # from one look to the next
    answer_ms: float  # from a frame to its answer, what other cameras take of that included

    @classmethod
    def of(cls, look_ms: float, cameras: int, looks_per_s: float) -> Tempo:
        """That of each of so many cameras, of which one detector looks at each so often, in turn, if it can."""
        return cls(max(1000 / looks_per_s, cameras * look_ms), cameras * look_ms)


@dataclass(frozen=True, slots=True)
class Patience:
    """What the settings of a camera allow, in milliseconds."""

    held_ms: float  # how long a frame waits at most
    max_age_ms: float  # distance to the nearest look from which on a frame is masked whole

    @classmethod
    def of(cls, privacy: PrivacySettings) -> Patience:
        """That of a camera with these settings."""
        return cls(privacy.effective_lookahead_ms + privacy.max_wait_ms, privacy.max_detection_age_ms)

    @property
    def calm_ms(self) -> float:
        """Distance to the nearest look up to which the governor widens no mask and leaves no frame out."""
        return WIDER * self.max_age_ms

    @property
    def longest_look_ms(self) -> float:
        """What a look may take where one camera's follow each other without a pause."""
        return min(2 * self.calm_ms, (self.held_ms + self.calm_ms) / 2)

    def suffices(self, tempo: Tempo) -> bool:
        """Whether it stays at that in every frame."""
        return furthest_ms(tempo, self.held_ms) <= self.calm_ms

    def shows_all(self, tempo: Tempo, *, strict: bool) -> bool:
        """Whether no frame is masked whole for being too far from a look, or in mode strict for none that is later."""
        is_told = not strict or tempo.period_ms + tempo.answer_ms <= self.held_ms
        return is_told and furthest_ms(tempo, self.held_ms) <= self.max_age_ms


def furthest_ms(tempo: Tempo, held_ms: float) -> float:
    """How far the frame that fares worst is from the nearest look that is answered when it leaves.

    One half way between two looks, unless those before it leave before the second is answered.
    """
    return max(tempo.period_ms / 2, tempo.period_ms + tempo.answer_ms - held_ms)
