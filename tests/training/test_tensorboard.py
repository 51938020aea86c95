import pytest
import tensorflow as tf

from pyimagesearch import InputError
from pyimagesearch.training.tensorboard import tensorboard_writer


def test_summaries_are_as_tensorboard_reads_them(tmp_path):
    write = tensorboard_writer(tmp_path / "new" / "log")
    tensorboard_writer(tmp_path / "new")  # which is there by now
    write(1, loss=0.5, val_loss=None)
    write(2, loss=0.25, val_loss=0.125)
    (path,) = (tmp_path / "new" / "log").glob("events*")
    events = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    events = [tf.compat.v1.Event.FromString(event) for event in events]
    kinds = {
        (value.metadata.plugin_data.plugin_name, value.metadata.data_class)
        for event in events
        for value in event.summary.value
    }
    assert kinds == {("scalars", 1)}
    found = [
        (event.step, value.tag, tf.make_ndarray(value.tensor).item())
        for event in events
        for value in event.summary.value
    ]
    assert found == [(1, "loss", 0.5), (2, "loss", 0.25), (2, "val_loss", 0.125)]


def test_writer_to_a_file_in_place_of_a_folder_raises_input_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to the folder"):
        tensorboard_writer(tmp_path / "file")
