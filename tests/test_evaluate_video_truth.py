"""Rules of ground truth of clips: what is wrong with it is said, and what it cannot judge counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from anonymizer.errors import DatasetError
from anonymizer.evaluate.video.truth import open_clip
from anonymizer.types import Size

FACE, PERSON = "1,1,21,21,20,20,1,14,1", "1,1,21,21,20,20,1,1,1"


@pytest.mark.parametrize(
    ("rows", "names", "message"),
    [
        ([FACE, PERSON], ["clip.mp4"], "faces and persons"),
        ([], ["clip.mp4"], "neither faces nor persons"),
        ([FACE], [], "exactly one clip, has 0"),
        (["1,2"], ["clip.mp4"], "gt.txt:1"),
        ([FACE, FACE.replace("1", "0", 1)], ["clip.mp4"], "gt.txt:2: labels frame 0, but the first one is 1"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said(rows: list[str], names: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("\n".join(rows))
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=message):
        open_clip(tmp_path, None, None)


def test_a_clip_needs_its_truth_and_both_must_be_there(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with pytest.raises(DatasetError, match="is missing"):
        open_clip(clip, None, None)
    clip.write_bytes(b"")
    with pytest.raises(DatasetError, match="by --truth"):
        open_clip(clip, None, None)
    with pytest.raises(DatasetError, match="cannot be read"):
        open_clip(clip, tmp_path / "gt.txt", None)
    (tmp_path / "gt.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is not text"):
        open_clip(clip, tmp_path / "gt.txt", None)


def test_truth_is_cut_at_the_edge_and_tiny_or_unjudged_faces_do_not_count(tmp_path: Path) -> None:
    rows = ["1,1,-9,1,20,20,1,14,1", "1,2,31,1,8,8,1,14,1", "1,3,41,1,20,20,0,14,1", "1,4,200,1,20,20,1,14,1"]
    (tmp_path / "clip.mp4").write_bytes(b"")
    (tmp_path / "gt.txt").write_text("\n".join(rows))
    truth = open_clip(tmp_path, None, None).at(1, Size(64, 48))
    assert truth.boxes[0].tolist() == [0, 0, 10, 20]
    assert (truth.identities.tolist(), truth.judged.tolist()) == ([1, 2, 3], [True, False, False])
