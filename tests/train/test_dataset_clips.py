"""Pictures are cut out of clips at the right time, with boxes on the right people."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from anonymizer.errors import DatasetError
from anonymizer.types import Detections, Frame, Target
from scripts.train.datasets.ava import Row, by_frame
from scripts.train.datasets.clip import sampled_stills, stills_at
from scripts.train.datasets.forms import Form, read_set, write_set
from scripts.train.datasets.from_ava import cut_frames
from scripts.train.datasets.from_clip import label_clips
from scripts.train.datasets.label import label_pictures
from scripts.train.datasets.training_set import TrainingSet
from scripts.train.picture import Sample

WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 10, 12
RED, BLUE = (200, 30, 30), (30, 30, 200)


def people_at(second: float) -> dict[str, tuple[float, float, float, float]]:
    """Red walks right along the top, blue walks left along the bottom; x1 y1 x2 y2 in pixels."""
    x = 10 + 20 * second
    return {"red": (x, 20, x + 30, 80), "blue": (WIDTH - x - 30, 100, WIDTH - x, 160)}


def write_clip(path: Path, *, start: int = 0, seconds: float = SECONDS) -> None:
    """Two people on grey, in H.264 with B pictures, so that decoding order is not showing order."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"bf": "2", "g": "30", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(round(seconds * FPS)):
            image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
            for name, corners in people_at(number / FPS).items():
                x1, y1, x2, y2 = (round(each) for each in corners)
                image[y1:y2, max(0, x1) : max(0, x2)] = RED if name == "red" else BLUE
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = start + number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def ava_rows(video: str, seconds: list[int]) -> list[str]:
    """Red does two things, blue one."""
    rows = []
    for second in seconds:
        for person, (name, actions) in enumerate({"red": (12, 80), "blue": (11,)}.items()):
            x1, y1, x2, y2 = people_at(second)[name]
            shares = f"{x1 / WIDTH:.3f},{y1 / HEIGHT:.3f},{x2 / WIDTH:.3f},{y2 / HEIGHT:.3f}"
            rows += [f"{video},{second:04d},{shares},{action},{person}" for action in actions]
    return rows


def colour_in(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Mean colour of the middle half of a box."""
    x1, y1, x2, y2 = box
    inset_x, inset_y = (x2 - x1) / 4, (y2 - y1) / 4
    return image[round(y1 + inset_y) : round(y2 - inset_y), round(x1 + inset_x) : round(x2 - inset_x)].mean((0, 1))


@pytest.mark.parametrize(("suffix", "start"), [(".mp4", 0), (".mkv", 25)])
def test_avas_boxes_land_on_the_right_people(tmp_path: Path, suffix: str, start: int) -> None:
    videos = tmp_path / "videos" / "below"
    videos.mkdir(parents=True)
    write_clip(videos / f"walk{suffix}", start=start)
    labels = tmp_path / "ava.csv"
    labels.write_text("\n".join(ava_rows("walk", [0, 1, 4, 10, 11]) + ava_rows("lost", [3])) + "\n")
    cut = cut_frames(labels, tmp_path / "videos", tmp_path / "frames")
    assert cut.missing == ("lost",)
    assert cut.beyond == ()
    assert [sample.path.name for sample in cut.data.samples] == [f"walk_{at:04d}.jpg" for at in (0, 1, 4, 10, 11)]
    for sample in cut.data.samples:
        image = sample.load().image
        assert len(sample.boxes) == 2  # one box a person, whatever the number of actions
        for box, colour in zip(sample.boxes, (RED, BLUE), strict=True):
            assert np.abs(colour_in(image, box) - colour).max() < 30
            grown = image[:, max(0, round(box[0]) - 8) : round(box[0]) - 2]
            assert grown.size == 0 or np.abs(grown[round(box[1]) + 5].mean(0) - 120).max() < 40  # and not beside it
    write_set(cut.data, tmp_path / "set", Form.VOC)
    assert len(read_set(tmp_path / "set").samples) == 5


def test_excerpts_and_a_chosen_number_of_frames_a_video(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=3)
    rows = [line.replace(",000", ",090") for line in ava_rows("walk", [0, 1, 2])]
    (tmp_path / "ava.csv").write_text("\n".join([*rows, "walk,0930,0.1,0.1,0.2,0.2,1,5"]) + "\n")
    cut = cut_frames(tmp_path / "ava.csv", tmp_path, tmp_path / "a", starts_at_s=900)
    assert [sample.path.name for sample in cut.data.samples] == ["walk_0900.jpg", "walk_0901.jpg", "walk_0902.jpg"]
    assert cut.beyond == ("walk_0930",)
    assert np.abs(colour_in(cut.data.samples[2].load().image, cut.data.samples[2].boxes[0]) - RED).max() < 30
    two = cut_frames(tmp_path / "ava.csv", tmp_path, tmp_path / "b", starts_at_s=900, per_video=2)
    assert [sample.path.name for sample in two.data.samples] + list(two.beyond) == ["walk_0900.jpg", "walk_0930"]


def test_rows_of_one_person_are_one_box_that_holds_them_all() -> None:
    rows = [
        Row("v", "0902", (0.1, 0.1, 0.3, 0.8), 80, 4),
        Row("v", "0902", (0.1, 0.1, 0.32, 0.8), 12, 4),
        Row("v", "0902", (0.5, 0.1, 0.7, 0.8), 12, None),
        Row("v", "0902", (0.5, 0.1, 0.7, 0.8), 17, None),
        Row("v", "0903", (0.1, 0.1, 0.3, 0.8), None, 4),
    ]
    frames = by_frame(rows)
    assert [(each.corners, each.actions) for each in frames["v", "0902"]] == [
        ((0.1, 0.1, 0.32, 0.8), (12, 80)),
        ((0.5, 0.1, 0.7, 0.8), (12, 17)),
    ]
    assert frames["v", "0903"][0].actions == ()


def test_a_clip_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_text("no video")
    with pytest.raises(DatasetError, match=r"walk.mp4: cannot be read as a video"):
        next(sampled_stills(tmp_path / "walk.mp4", every_s=1))
    with pytest.raises(DatasetError, match="is no folder"):
        cut_frames(tmp_path / "ava.csv", tmp_path / "none", tmp_path / "out")


def test_pictures_are_taken_at_their_interval_and_from_raw_streams_too(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=5)
    times = [still.at_s for still in sampled_stills(tmp_path / "walk.mp4", every_s=1.5)]
    assert times == pytest.approx([0, 1.5, 3.0, 4.5])
    with av.open(str(tmp_path / "walk.mp4")) as source, av.open(str(tmp_path / "walk.h264"), "w") as raw:
        template = source.streams.video[0]
        stream = raw.add_stream_from_template(template)
        for packet in source.demux(template):
            if packet.dts is not None:
                packet.stream = stream
                raw.mux(packet)
    # a raw stream states no rate: its times are those of the assumed one
    wanted = [at_s for at_s, still in stills_at(tmp_path / "walk.h264", [0.0, 0.4]) if still is not None]
    assert wanted == [0.0, 0.4]


def test_a_scene_that_does_not_change_gives_one_picture(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=4)
    every = list(sampled_stills(tmp_path / "walk.mp4", every_s=0.5, scene_change=0))
    changed = list(sampled_stills(tmp_path / "walk.mp4", every_s=0.5, scene_change=5))
    assert len(every) == 8
    assert 1 < len(changed) < 8
    assert len(list(sampled_stills(tmp_path / "walk.mp4", every_s=0.5, scene_change=200))) == 1


def test_time_stamps_before_the_beginning_of_a_file_are_listed_not_cut(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=3)
    rows = [line.replace(",000", ",090") for line in ava_rows("walk", [0, 1, 2])]
    (tmp_path / "ava.csv").write_text("\n".join(["walk,0899,0.1,0.1,0.2,0.2,1,5", *rows]) + "\n")
    cut = cut_frames(tmp_path / "ava.csv", tmp_path, tmp_path / "a", starts_at_s=900)
    assert cut.before == ("walk_0899",)
    assert [sample.path.name for sample in cut.data.samples] == ["walk_0900.jpg", "walk_0901.jpg", "walk_0902.jpg"]


def test_if_nothing_can_be_cut_the_beginning_of_the_files_is_asked_for(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=1)
    (tmp_path / "ava.csv").write_text("walk,0902,0.1,0.1,0.2,0.2,1,5\n")
    for starts_at_s, counts in ((0, "0 .* and 1 past the end"), (2000, "1 .* and 0 past the end")):
        with pytest.raises(DatasetError, match=f"nothing could be cut: {counts}: name by --starts-at-s"):
            cut_frames(tmp_path / "ava.csv", tmp_path, tmp_path / "a", starts_at_s=starts_at_s)
    (tmp_path / "lost.csv").write_text("lost,0902,0.1,0.1,0.2,0.2,1,5\n")
    with pytest.raises(DatasetError, match="holds no file named by one of its video_ids"):
        cut_frames(tmp_path / "lost.csv", tmp_path, tmp_path / "a")


class RedFinder:
    """Finds what is red, and half as surely what is blue."""

    def start(self) -> None: ...

    def detect(self, frame: Frame) -> Detections:
        boxes = [self._box(frame.planes.v > 170), self._box(frame.planes.u > 170)]
        scores, ids = np.array([0.9, 0.4], np.float32), np.array([Target.FACE, Target.PERSON], np.int32)
        return Detections(frame.camera_id, frame.seq, frame.epoch, np.array(boxes, np.float32), scores, ids)

    @staticmethod
    def _box(mask: np.ndarray) -> list[float]:
        ys, xs = np.nonzero(mask)
        return [2.0 * xs.min(), 2.0 * ys.min(), 2.0 * xs.max() + 2, 2.0 * ys.max() + 2]

    def close(self) -> None: ...


def test_recordings_are_labelled_with_what_a_detector_finds_and_doubtful_boxes_are_marked(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=4)
    data = label_clips([tmp_path / "walk.mp4"], tmp_path / "out", RedFinder(), every_s=1, limit=3)
    assert [sample.path.name for sample in data.samples] == [f"walk_{at:08d}.jpg" for at in (0, 1000, 2000)]
    for second, sample in enumerate(data.samples):
        assert np.abs(sample.boxes - np.array(list(people_at(second).values()))).max() <= 4
        assert [data.classes[each] for each in sample.class_ids] == ["face", "person"]
        assert sample.ignore.tolist() == [False, True]


def test_clips_that_only_the_ending_tells_apart_keep_their_own_pictures(tmp_path: Path) -> None:
    clips = [tmp_path / name for name in ("cam.mp4", "cam.mkv", "cam.mkv.mov", "door.mp4")]
    for clip in clips:
        write_clip(clip, seconds=0.2)
    data = label_clips(clips, tmp_path / "out", RedFinder(), every_s=1)
    stems = ("cam.mp4", "cam.mkv", "cam.mkv.mov", "door")
    assert [sample.path.name for sample in data.samples] == [f"{stem}_00000000.jpg" for stem in stems]


def test_a_clip_that_is_named_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "cam.mp4", seconds=0.2)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path)
    for again in (Path("cam.mp4"), tmp_path / "cam.mp4", Path("below/../cam.mp4")):
        with pytest.raises(DatasetError, match=r"cam.mp4: this clip is named twice"):
            label_clips([Path("cam.mp4"), again], tmp_path / "out", RedFinder(), every_s=1)


def test_pictures_keep_their_labels_and_get_what_a_detector_finds_besides(tmp_path: Path) -> None:
    write_clip(tmp_path / "walk.mp4", seconds=1)
    found = label_clips([tmp_path / "walk.mp4"], tmp_path / "out", RedFinder(), every_s=1)
    face = found.select(["face"]).samples[0]
    moved = Sample(face.path, face.boxes + np.float32(2), face.class_ids, face.ignore)  # as a human corrected it
    data = label_pictures(TrainingSet(("face",), (moved,)), RedFinder())
    assert data.classes == ("face", "person")
    assert data.samples[0].class_ids.tolist() == [0, 1]
    assert data.samples[0].boxes[0].tolist() == moved.boxes[0].tolist()
    assert data.samples[0].ignore.tolist() == [False, True]


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_what_a_phone_stored_lying_is_cut_out_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], turns: int
) -> None:
    write_clip(tmp_path / "clip.mp4", seconds=1)
    content = bytearray((tmp_path / "clip.mp4").read_bytes())
    at = content.index(b"tkhd") + 44  # of the matrix in a track's header of version 0
    a, b, c, d = (number << 16 for number in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "phone.mp4").write_bytes(content)
    (stored,), (upright,) = (list(sampled_stills(tmp_path / name, every_s=9)) for name in ("clip.mp4", "phone.mp4"))
    assert np.array_equal(upright.image, np.rot90(stored.image, turns))
