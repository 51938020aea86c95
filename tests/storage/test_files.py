import io
import os
import socket
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

from pyimagesearch import InputError
from pyimagesearch.data import dataset_files
from pyimagesearch.storage import files, model_files, ownership
from pyimagesearch.torture import file_trials, malicious_files
from pyimagesearch.training import checkpoint


def test_file_that_can_not_be_opened_is_reported(tmp_path):
    for load in (dataset_files.load_images, model_files.archive_size):
        with pytest.raises(InputError, match="there is no file"):
            load(tmp_path / "none")
        with pytest.raises(InputError, match="expected a file, found the folder"):
            load(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="not a whole pickle"):
        dataset_files.load_images(tmp_path / "empty")
    with pytest.raises(InputError, match="not a whole .keras archive"):
        model_files.archive_size(tmp_path / "empty")


LOADERS = {
    **{suffix: suffix for suffix in (".pickle", ".model", ".npz", ".npy", ".csv", ".json")},
    "reference": lambda path: model_files.load_reference(
        path, "mse", model_files.reference_bytes((8, 8, 1))
    ),
    "checkpoint": checkpoint.read_checkpoint,
}


def outcome(load, path):
    """What loading a file ends in, as text; loading that has not ended after a while hangs."""
    ended = ["hangs"]

    def run():
        try:
            ended[0] = f"loaded {load(path)}"
        except Exception as error:
            ended[0] = f"{type(error).__name__}: {error}"

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    return ended[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_pipe_device_or_socket_is_refused_at_once_by_every_loader(tmp_path, monkeypatch, load):
    suffix = load if isinstance(load, str) else ""
    load = file_trials.loaders()[load] if suffix else load
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo(f"pipe{suffix}")
    Path(f"link{suffix}").symlink_to(f"pipe{suffix}")
    Path(f"device{suffix}").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"socket{suffix}")
        for kind in ("pipe", "link", "device", "socket"):
            path = f"{kind}{suffix}"
            expected = (
                f"InputError: expected a regular file, found a pipe, device or socket at {path}"
            )
            assert outcome(load, path).startswith(expected)


def test_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").symlink_to("a")
    with files.open_for_reading(tmp_path / "b") as file:
        assert file.read() == b"abc"


def test_file_that_becomes_a_pipe_once_it_is_checked_does_not_hang(tmp_path, monkeypatch):
    mkfifo = getattr(os, "mkfifo", None) or pytest.skip("no pipes with names on this system")
    path = tmp_path / "a"
    mkfifo(path)
    (tmp_path / "b").touch()
    status = (tmp_path / "b").stat()
    monkeypatch.setattr(files.Path, "stat", lambda path: status)
    assert "found a pipe" in outcome(dataset_files.load_images, path)


def archive(**arrays):
    return io.BytesIO(malicious_files.array_archive(**arrays))


def test_arrays_are_bounded_one_by_one_and_together():
    a, b = np.arange(100), np.arange(1000)
    size = a.nbytes + b.nbytes + 2 * 128  # with their headers
    loaded = files.load_arrays(archive(a=a, b=b), list, size)
    np.testing.assert_array_equal(loaded["b"], b)
    for choose, bound in ((list, size - 1), (lambda names: ["b"], b.nbytes + 127)):
        with pytest.raises(ValueError, match=f"would unpack to .* at most {bound:,}"):
            files.load_arrays(archive(a=a, b=b), choose, bound)


def test_array_that_is_not_chosen_is_not_opened():
    arrays = archive(a=np.arange(3), evil=np.array([None]))
    assert list(files.load_arrays(arrays, lambda names: ["a"], 1000)) == ["a"]
    with pytest.raises(ValueError, match="expected numbers, found object"):
        files.load_arrays(arrays, list, 1000)


@pytest.mark.parametrize(
    "array",
    [np.array(1.5), np.zeros((0, 3)), np.asfortranarray(np.eye(3)[:2]), np.array(["a", "bc"])]
    + [np.arange(6).reshape(2, 3).astype(dtype) for dtype in (">i2", "f2", "u8", bool)],
    ids=lambda array: f"{array.dtype}-{array.ndim}d",
)
def test_arrays_come_back_to_the_bit(array):
    loaded = files.load_arrays(archive(a=array), list, 10_000)["a"]
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype


def test_negative_sizes_are_refused():
    header = malicious_files.npy_header((-1, -1))
    with pytest.raises(ValueError, match="negative size"):
        files.read_npy_header(io.BytesIO(header), len(header))


def test_first_line_of_a_fault_is_short():
    assert files.first_line(ValueError("a\nb")) == "a"
    assert files.first_line(KeyError()) == "KeyError"
    assert len(files.first_line(ValueError("a" * 1000))) == 200


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="Out of range"):
        files.save_json(tmp_path / "a.json", {"auroc": float("nan")})
    files.save_json(tmp_path / "a.json", {"auroc": None})
    assert files.load_json(tmp_path / "a.json") == {**ownership.WRITTEN_BY, "auroc": None}
    assert files.load_json(tmp_path / "none.json") == {}
    assert '\n  "auroc": null' in (tmp_path / "a.json").read_text()


def test_json_is_read_up_to_its_bound_and_refused_above_it(tmp_path):
    path = tmp_path / "a.json"
    files.save_json(path, {"seed": 1})
    size = path.stat().st_size
    assert files.load_json(path, size)["seed"] == 1
    with pytest.raises(InputError, match="not a JSON object"):
        files.load_json(path, size - 1)
    # Unless told otherwise, up to 16 MiB, whatever it may hold: here a few braces and much space.
    path.write_bytes(b'{"seed": 2}'.ljust(2**24))
    assert files.load_json(path)["seed"] == 2
    path.write_bytes(b'{"seed": 2}'.ljust(2**24 + 1))
    with pytest.raises(InputError, match="not a JSON object"):
        files.load_json(path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", "[" * 100_000])
def test_json_that_is_not_an_object_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text, "latin1")
    with pytest.raises(InputError, match="not a JSON object"):
        files.load_json(tmp_path / "a.json")


def test_table_with_umlauts_is_known_as_utf_8_by_a_spreadsheet_and_others_have_no_mark(tmp_path):
    for name, begins in (("größe", b"\xef\xbb\xbfname,"), ("size", b"name,")):
        files.save_csv(tmp_path / "a.csv", ("name", "n"), [(name, 1)])
        data = (tmp_path / "a.csv").read_bytes()
        assert data.startswith(begins)
        assert list(files.parse_csv(data, ("n", "name"))) == [(2, "1", name)]
        assert ownership.is_own_file(tmp_path / "a.csv")


@pytest.mark.parametrize("in_memory", [1, 2**22])
@pytest.mark.parametrize(
    ("last", "data"),
    [
        ("plain", b"plain"),
        ("größe", "größe".encode()),
        (os.fsdecode(b"\xff"), b"\xff"),
        ('a "b"\nc\r', b'"a ""b""\nc\r"'),
    ],
)
def test_table_is_written_as_it_goes_as_if_all_at_once(
    tmp_path, monkeypatch, in_memory, last, data
):
    monkeypatch.setattr(files, "MAX_TABLE_IN_MEMORY", in_memory)
    rows = ((name, n, "") for n, name in enumerate([*"ab" * 50, last]))
    files.save_csv(tmp_path / "a.csv", ("name", "n", "x"), rows)
    lines = [f"{name},{n},\n".encode() for n, name in enumerate("ab" * 50)]
    expected = b"name,n,x\r\n" + b"".join(lines) + data + b",100,\n"
    bom = b"" if last.isascii() else b"\xef\xbb\xbf"
    assert (tmp_path / "a.csv").read_bytes() == bom + expected
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_without_a_folder_for_temporary_files_one_is_asked_for(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(InputError, match=r"found in \['/tmp'\]: name one by the variable TMPDIR"):
        files.temporary_root()


def test_fault_while_a_file_is_read_is_told_in_the_words_of_the_system(tmp_path):
    (tmp_path / "a").touch()
    for fault, told in (
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError("x"), "x"),
    ):
        with (
            pytest.raises(InputError, match=rf"cannot read .*a: {told}$"),
            files.open_for_reading(tmp_path / "a"),
        ):
            raise fault
