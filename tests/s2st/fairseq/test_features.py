import numpy as np
import pytest

from s2st.config import UserError
from s2st.fairseq.features import read_features

FRAMES = np.arange(24, dtype=np.float32).reshape(6, 4)


def dump(folder, name, frames, lengths):
    np.save(folder / f"{name}.npy", frames)
    (folder / f"{name}.len").write_text("".join(f"{length}\n" for length in lengths))


def test_shards_are_read_in_the_order_of_ranks(tmp_path):
    dump(tmp_path, "train_1_2", FRAMES[4:], [2])
    dump(tmp_path, "train_0_2", FRAMES[:4], [3, 0, 1])
    dump(tmp_path, "train_2_0_1", FRAMES, [6])  # of a split named train_2
    found = list(read_features(tmp_path, "train"))
    assert [len(value) for value in found] == [3, 0, 1, 2]
    np.testing.assert_array_equal(np.concatenate(found), FRAMES)


@pytest.mark.parametrize(
    ("name", "frames", "lengths", "message"),
    [
        ("train_0_1", FRAMES, [5], "has 6 frames, but its .len 5"),
        ("train_0_1", FRAMES[0], [4], r"is float32, \(4,\)"),
        ("train_0_1", FRAMES.astype(int), [6], "is int64"),
        ("train_0_1", FRAMES, ["x"], "'x' is no number of frames"),
        ("train_0_1", np.array([{}]), [1], "cannot be read as features"),
        ("train_1_2", FRAMES, [6], "train_0_2.npy is missing"),
        ("valid_0_1", FRAMES, [6], "train_0_1.npy is missing"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, name, frames, lengths, message):
    dump(tmp_path, name, frames, lengths)
    with pytest.raises(UserError, match=message):
        list(read_features(tmp_path, "train"))


def test_two_dumps_in_one_folder_are_refused(tmp_path):
    dump(tmp_path, "train_0_1", FRAMES, [6])
    dump(tmp_path, "train_0_2", FRAMES, [6])
    with pytest.raises(UserError, match=r"train in \[1, 2\] shards"):
        list(read_features(tmp_path, "train"))
