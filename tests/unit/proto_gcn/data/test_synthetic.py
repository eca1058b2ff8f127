"""Generated data sets."""

from pathlib import Path

import numpy as np
import pytest

from proto_gcn.data import synthetic
from proto_gcn.data.files.pickle_file import read_pickle


def test_synthetic_data_is_deterministic_and_in_the_ntu_format(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pkl", "b.pkl", "c.pkl")]
    for path, seed in zip(files, "001", strict=True):
        assert (
            synthetic.main(["--out", str(path), "--seed", seed, "--train", "20", "--val", "6"]) == 0
        )
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != files[2].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pkl", "b.pkl", "c.pkl"]
    content = read_pickle(files[0])
    assert sorted(content["split"]) == ["xsub_train", "xsub_val", "xview_train", "xview_val"]
    names = [a["frame_dir"] for a in content["annotations"]]
    assert len(set(names)) == 26
    assert {len(a["keypoint"]) for a in content["annotations"]} == {1, 2}
    for a in content["annotations"]:
        assert a["keypoint"].dtype == np.float16
        assert a["keypoint"].shape[1:] == (a["total_frames"], 25, 3)
        assert 60 <= a["total_frames"] < 180
        assert int(a["frame_dir"][-3:]) == a["label"] + 1


def test_synthetic_classes_move_their_axis_to_their_side() -> None:
    for sample in synthetic.make_dataset(seed=0, classes=6, train=12, val=0)["annotations"]:
        hand = np.ptp(sample["keypoint"][0, :, 7].astype(float), axis=0)
        assert hand.argmax() == sample["label"] // 2


def test_synthetic_reports_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert (
        synthetic.main(["--out", str(tmp_path / "file" / "x.pkl"), "--train", "1", "--val", "1"])
        == 1
    )
    assert "cannot write" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        synthetic.main(["--out", str(tmp_path / "x.pkl"), "--classes", "99"])
