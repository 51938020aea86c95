import pytest

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files
from pyimagesearch.storage import files, model_files, ownership


def test_file_that_can_not_be_opened_is_reported(tmp_path):
    for load in (dataset_files.load_images, model_files.load_model):
        with pytest.raises(InputError, match="there is no file"):
            load(tmp_path / "none")
        with pytest.raises(InputError, match="expected a file, found the folder"):
            load(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="not a whole pickle"):
        dataset_files.load_images(tmp_path / "empty")
    with pytest.raises(InputError, match="not a whole .keras archive"):
        model_files.load_model(tmp_path / "empty")


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        files.save_json(tmp_path / "a.json", {"auroc": float("nan")})
    files.save_json(tmp_path / "a.json", {"auroc": None})
    assert files.load_json(tmp_path / "a.json") == {**ownership.WRITTEN_BY, "auroc": None}
    assert files.load_json(tmp_path / "none.json") == {}


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", "[" * 100_000])
def test_json_that_is_not_an_object_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text, "latin1")
    with pytest.raises(InputError, match="not a JSON object"):
        files.load_json(tmp_path / "a.json")
