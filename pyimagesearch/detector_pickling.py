"""Pickling of the scikit-learn detector: its network as bytes, and detectors of earlier versions."""

import tempfile
from pathlib import Path

from pyimagesearch.runtime.quiet import quiet_tensorflow
from pyimagesearch.storage import model_files

with quiet_tensorflow():
    from pyimagesearch.detection import trained_model


class PicklingMixin:
    """Lets `detector.AutoencoderDetector` be pickled and copied, its network among its attributes."""

    def __getstate__(self):
        # The network as the bytes of a .keras file, which is read without running code.
        state = dict(super().__getstate__())
        if "model_" in state:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.keras")
                model_files.save_model(path, state["model_"])
                state["model_"] = path.read_bytes()
        return state

    def __setstate__(self, state):
        super().__setstate__(upgrade(state))
        if hasattr(self, "model_"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.keras")
                path.write_bytes(self.model_)
                # Of the archive, only weights are read.
                about = {
                    "recipe": self._make_recipe().as_dict(),
                    "image_shape": [*self.image_shape_],
                }
                self.model_ = trained_model.load_network(path, about)


def upgrade(state):
    """Bring the attributes of a detector that an earlier version has pickled to today's names."""
    state = dict(state)
    if "white_" in state:
        state["pixel_maximum_"] = state.pop("white_")
    if "reference_" in state:
        state.setdefault("score_name_", state["scored_by"])
    state.setdefault("verbose", 0)
    if "model_" in state:
        state.setdefault("preprocessing_", None)
    if "offset_" in state:
        state.setdefault("threshold_", -state["offset_"])
    history = vars(state["history_"]) if "history_" in state else {}
    if "suspects" in history:
        history["outliers"] = history.pop("suspects")
    return state
