"""Where a camera points: how pixels of one frame lie in another one of the same camera."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pose:
    """Pixel x of the first frame lies at `scale * x + dx` in this one, and y likewise: turned a little and zoomed."""

    scale: float = 1.0
    dx: float = 0.0  # pixels
    dy: float = 0.0

    def then(self, step: Pose) -> Pose:
        """After one more motion."""
        return Pose(step.scale * self.scale, step.scale * self.dx + step.dx, step.scale * self.dy + step.dy)

    def since(self, other: Pose) -> Pose:
        """The motion from the other pose, earlier or later, to this one."""
        if self == other:
            return STILL
        scale = self.scale / other.scale
        return Pose(scale, self.dx - scale * other.dx, self.dy - scale * other.dy)


STILL = Pose()
