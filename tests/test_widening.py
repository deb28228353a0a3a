"""What load costs in certainty is paid in mask: whoever was not seen in the very frame is masked wider all around."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anonymizer.pipeline.governor import GROWTH_A_SECOND, Governor
from anonymizer.pipeline.widening import widened, widened_detections
from anonymizer.settings.schema import PrivacySettings, TargetName
from anonymizer.types import Target, Track, TrackState
from tests.camera_rig import Rig
from tests.fakes import make_detections

Box = tuple[float, float, float, float]
BOXES = st.tuples(st.integers(-50, 600), st.integers(-50, 400), st.integers(1, 200), st.integers(1, 200)).map(
    lambda at: (float(at[0]), float(at[1]), float(at[0] + at[2]), float(at[1] + at[3]))
)


@given(BOXES, st.floats(0, 1))
def test_each_side_moves_outward_by_the_fraction_of_the_width_or_height(box: Box, growth: float) -> None:
    x1, y1, x2, y2 = box
    across, down = growth * (x2 - x1), growth * (y2 - y1)
    wide = (x1 - across, y1 - down, x2 + across, y2 + down)
    (track,) = widened((Track(1, Target.FACE, box, 0.9, TrackState.CONFIRMED, 0),), growth)
    found = widened_detections(make_detections(box), growth)
    assert track.box == pytest.approx(wide)
    assert found is not None
    np.testing.assert_allclose(found.boxes, [wide], rtol=1e-5, atol=1e-3)


EVERY = 12  # frames of 40 ms: the nearest look is too far from some of them, and from none so far that it is left out
STANDS: Box = (40.0, 30.0, 80.0, 80.0)
COMES: Box = (120.0, 30.0, 150.0, 70.0)


def masks_under_load(name: TargetName) -> dict[tuple[int, int], Box]:
    """Around one who stands still (0), and one whom the last look finds (1), once the looks are known to be late."""
    rig = Rig(privacy=PrivacySettings(lookahead_ms=0, targets=(name,)))
    masks: dict[tuple[int, int], Box] = {}
    for seq in range(10 * EVERY + 1):
        before, is_late = len(rig.out), rig.meter.values.get(("governor_level", "cam")) == 1
        rig.frame(seq)
        if seq % EVERY == 0:
            boxes = (STANDS, COMES) if seq == 10 * EVERY else (STANDS,)
            rig.core.on_detections(make_detections(*boxes, seq=seq, target=name.target))
        if is_late:
            for frame in rig.out[before:]:
                masked = np.array([region.box for region in frame.regions])
                is_left = masked[:, 0] + masked[:, 2] < 200
                for place, own in enumerate((masked[is_left], masked[~is_left])):
                    if len(own):
                        masks[frame.seq, place] = *own[:, :2].min(axis=0).tolist(), *own[:, 2:].max(axis=0).tolist()
    return masks


@pytest.mark.parametrize("name", list(TargetName))
def test_under_load_a_mask_is_wider_by_as_much_of_all_of_somebody_as_seconds_lie_between_the_frame_and_the_nearest_look(
    monkeypatch: pytest.MonkeyPatch, name: TargetName
) -> None:
    wide = masks_under_load(name)
    monkeypatch.setattr(Governor, "growth", lambda _self, _age_ns: 0.0)
    narrow = masks_under_load(name)
    assert wide.keys() == narrow.keys()
    assert [seq for seq, place in wide if place == 0] == list(range(min(wide)[0], 10 * EVERY + 1))
    assert len([seq for seq, place in wide if place == 1]) > 2
    for (seq, place), (left, top, right, bottom) in wide.items():
        age_s = min(seq % EVERY, EVERY - seq % EVERY) * 0.04
        x1, y1, x2, y2 = (STANDS, COMES)[place]
        across, down = (0.95 * GROWTH_A_SECOND * age_s * side for side in (x2 - x1, y2 - y1))
        x1, y1, x2, y2 = narrow[seq, place]
        assert left <= x1 - across
        assert top <= y1 - down
        assert right >= x2 + across
        assert bottom >= y2 + down
