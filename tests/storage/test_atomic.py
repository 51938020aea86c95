import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyimagesearch import InputError
from pyimagesearch.storage import atomic, ownership
from tests.conftest import ROOT, files_in

# What an earlier run has left.
OLD = "old " + ownership.MARK.decode()


def save(path, data):
    """Write one file by a transaction of its own."""
    with atomic.Transaction() as transaction:
        transaction.stage(path).write_bytes(data)


def test_transaction_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "result").write_text(OLD)

    def write_half():
        with atomic.Transaction() as transaction:
            transaction.stage(tmp_path / "result").write_text("new, but not all of it")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_half()
    assert (tmp_path / "result").read_text() == OLD
    assert files_in(tmp_path) == ["result"]


def test_transaction_shows_nothing_before_its_end(tmp_path):
    with atomic.Transaction() as transaction:
        transaction.stage(tmp_path / "new" / "result").write_text("whole")
        assert not (tmp_path / "new" / "result").exists()
    assert files_in(tmp_path / "new") == ["result"]
    assert (tmp_path / "new" / "result").read_text() == "whole"


def test_bytes_are_on_the_disk_before_a_name_points_to_them(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def note(number):
        synced.append((os.fstat(number).st_ino, files_in(tmp_path / "place")))
        fsync(number)

    monkeypatch.setattr(os, "fsync", note)
    (tmp_path / "place").mkdir()
    with atomic.Transaction() as transaction:
        staged = transaction.stage(tmp_path / "place" / "result")
        staged.write_bytes(b"whole")
    (tmp_path / "made" / "in").mkdir(parents=True)
    for name in ("made/one", "made/in/two"):
        (tmp_path / name).touch()
    numbers = {(tmp_path / name).stat().st_ino for name in ("made/one", "made/in/two")}
    assert synced == [((tmp_path / "place" / "result").stat().st_ino, [staged.name])]
    atomic.move(tmp_path / "made", tmp_path / "place" / "folder")
    assert {number for number, _ in synced[1:]} == numbers
    assert all(found == ["result"] for _, found in synced[1:])


def test_files_get_their_names_under_the_lock_of_their_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "MAX_WAIT", 0)
    with (
        atomic.locked_folder(tmp_path),
        pytest.raises(InputError, match="to be free within 0 seconds"),
    ):
        save(tmp_path / "result", b"new")
    assert files_in(tmp_path) == []


def test_staged_file_ends_with_the_suffix_that_is_asked_for(tmp_path):
    with atomic.Transaction() as transaction:
        staged = transaction.stage(tmp_path / "a.model", ".tmp.keras")
        assert staged.parent == tmp_path
        assert staged.name.startswith(".a.model.")
        assert staged.name.endswith(".tmp.keras")
    assert files_in(tmp_path) == ["a.model"]


def test_folder_is_moved_over_an_earlier_one(tmp_path):
    for name in ("place", "made"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    atomic.move(tmp_path / "made", tmp_path / "place")
    assert files_in(tmp_path / "place") == ["made"]


def test_folder_that_can_not_be_moved_leaves_the_earlier_one(tmp_path, monkeypatch):
    (tmp_path / "work" / "made").mkdir(parents=True)
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "old").touch()
    replace = atomic.Path.replace

    def refuse(path, target):
        if path.name == "made":
            raise OSError(28, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(atomic.Path, "replace", refuse)
    with pytest.raises(InputError, match="cannot write .*place: No space left"):
        atomic.move(tmp_path / "work" / "made", tmp_path / "place")
    assert files_in(tmp_path / "place") == ["old"]


def kill_meanwhile(folder, code):
    """Run Python code in a process that ends by kill -9 as it writes `result`."""
    code = f"""
import os, signal
from pathlib import Path
from pyimagesearch.storage import atomic
folder = Path({str(folder)!r})
{code}
os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == -9, ran.stderr


@pytest.mark.slow
def test_leftovers_of_a_killed_process_are_removed_by_the_next_write(tmp_path):
    (tmp_path / "result").write_text(OLD)
    kill_meanwhile(
        tmp_path,
        "transaction = atomic.Transaction()\n"
        "transaction.stage(folder / 'result').write_bytes(b'new')\n"
        "transaction.stage(folder / 'other').write_bytes(b'new')",
    )
    assert len(files_in(tmp_path)) == 3
    assert (tmp_path / "result").read_text() == OLD
    save(tmp_path / "result", b"newer")
    save(tmp_path / "other", b"newer")
    assert files_in(tmp_path) == ["other", "result"]


def test_files_with_names_similar_to_leftovers_are_kept(tmp_path):
    others = [
        ".result.0123456789abcdef.tmp",
        ".result.0123456789abcdef.tmp.txt",
        ".result.0123456789abcdef0.tmp",
        ".result.0123456789abcdeg.tmp",
        ".result.backup.tmp",
        ".result.of the user.tmp.txt",
        ".result.tmp",
    ]
    with atomic.Transaction() as transaction:
        ours = transaction.stage(tmp_path / "result")
    (tmp_path / "result").unlink()
    for path in (ours, *(tmp_path / name for name in others)):
        path.touch()
    save(tmp_path / "result", b"new")
    assert files_in(tmp_path) == [*others, "result"]


@pytest.mark.parametrize("content", [b"", b"written-by:pyimagesearch 1 some-host\n"])
def test_lock_of_a_killed_run_is_taken_over_and_removed(tmp_path, content):
    (tmp_path / atomic.LOCK).write_bytes(content)
    save(tmp_path / "result", b"new")
    assert files_in(tmp_path) == ["result"]


def test_lock_that_stays_taken_ends_the_wait_and_says_who_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "MAX_WAIT", 0.05)
    with atomic.locked_folder(tmp_path):
        with pytest.raises(InputError, match=rf"within 0.05 seconds.*process {os.getpid()} on "):
            save(tmp_path / "result", b"new")
        assert files_in(tmp_path) == [atomic.LOCK]
    save(tmp_path / "result", b"new")
    assert files_in(tmp_path) == ["result"]


def test_lock_of_the_folder_itself_by_another_program_is_no_matter(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    number = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    save(tmp_path / "result", b"new")
    os.close(number)
    assert files_in(tmp_path) == ["result"]


def test_file_of_a_person_by_the_name_of_the_lock_stays(tmp_path):
    (tmp_path / atomic.LOCK).write_bytes(b"mine")
    with pytest.raises(InputError, match="found another file"):
        save(tmp_path / "result", b"new")
    assert (tmp_path / atomic.LOCK).read_bytes() == b"mine"
    assert files_in(tmp_path) == [atomic.LOCK]


def test_runs_that_write_at_the_same_time_take_turns(tmp_path):
    inside, most = [], []

    def write(number):
        with atomic.locked_folder(tmp_path):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.002)
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert most == [1] * 40
    assert files_in(tmp_path) == []


def test_temporary_file_in_use_is_kept_by_another_write(tmp_path):
    with atomic.Transaction() as transaction:
        transaction.stage(tmp_path / "result").write_text("slow")
        save(tmp_path / "result", b"quick, " + ownership.MARK)
        assert (tmp_path / "result").read_text().startswith("quick")
    assert (tmp_path / "result").read_text() == "slow"
    assert files_in(tmp_path) == ["result"]


def test_staged_and_removed_files_change_together_or_not_at_all(tmp_path):
    (tmp_path / "gone").write_text(OLD)
    with atomic.Transaction() as transaction:
        transaction.stage(tmp_path / "one").write_text(OLD)
        transaction.remove(tmp_path / "gone", tmp_path / "missing" / "file")
        transaction.stage(tmp_path / "below" / "two").write_text(OLD)
        assert not (tmp_path / "one").exists()
        assert (tmp_path / "gone").exists()
    assert files_in(tmp_path) == ["below", "one"]
    assert files_in(tmp_path / "below") == ["two"]

    def fail():
        with atomic.Transaction() as transaction:
            transaction.stage(tmp_path / "one").write_text("new")
            transaction.remove(tmp_path / "below" / "two")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert files_in(tmp_path) == ["below", "one"]
    assert (tmp_path / "one").read_text() == OLD
    assert files_in(tmp_path / "below") == ["two"]


def test_file_removed_and_staged_in_one_transaction_is_the_new_one(tmp_path):
    (tmp_path / "one").write_text(OLD)
    with atomic.Transaction() as transaction:
        transaction.remove(tmp_path / "one")
        transaction.stage(tmp_path / "one").write_text("new")
    assert (tmp_path / "one").read_text() == "new"


def test_file_with_the_longest_possible_name_is_written(tmp_path):
    save(tmp_path / ("a" * 255), b"")
    assert files_in(tmp_path) == ["a" * 255]


def test_staged_file_has_the_mode_of_a_plain_one(tmp_path):
    save(tmp_path / "staged", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "staged").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_full_disk_is_reported_with_the_path_that_was_to_be_written(tmp_path):
    refused = pytest.raises(InputError, match="cannot write .*second: No space left")
    with refused, atomic.Transaction() as transaction:
        transaction.stage(tmp_path / "first").write_text("whole")
        transaction.stage(tmp_path / "second").write_text("half")
        transaction.remove(tmp_path / "third")
        raise OSError(28, "No space left on device")
    assert files_in(tmp_path) == []


def test_folder_that_can_not_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text(OLD)
    with (
        pytest.raises(InputError, match="cannot write .*below: (Not a directory|File exists)"),
        atomic.Transaction() as transaction,
    ):
        transaction.stage(tmp_path / "file" / "below")


def test_targets_that_can_be_written_make_their_folders_and_nothing_else(tmp_path):
    atomic.check_writable(tmp_path / "a" / "one.png", tmp_path / "two.png")
    assert files_in(tmp_path) == ["a"]
    assert files_in(tmp_path / "a") == []


def test_targets_that_can_not_be_written_are_refused(tmp_path):
    with pytest.raises(InputError, match="found a folder"):
        atomic.check_writable(tmp_path)
    with pytest.raises(InputError, match="two results"):
        atomic.check_writable(tmp_path / "one", tmp_path / "." / "one")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write to the folder"):
        atomic.check_writable(tmp_path / "file" / "below")


def test_target_that_is_an_input_by_any_name_is_refused(tmp_path):
    (tmp_path / "read").write_text(OLD)
    (tmp_path / "below").mkdir()
    (tmp_path / "soft").symlink_to("read")
    (tmp_path / "hard").hardlink_to(tmp_path / "read")
    for name in ("read", "below/../read", "soft", "hard"):
        with pytest.raises(InputError, match=f"files that are read, received .*{name} as both"):
            atomic.check_writable(tmp_path / name, tmp_path / "new", inputs=[tmp_path / "read"])
    # What is not there yet would be read the next time.
    with pytest.raises(InputError, match="files that are read, received"):
        atomic.check_writable(tmp_path / "a.json", inputs=[tmp_path / "other", tmp_path / "a.json"])
    atomic.check_writable(tmp_path / "read", inputs=[tmp_path / "other", tmp_path])


def remove(path):
    """Remove one file by a transaction of its own."""
    with atomic.Transaction() as transaction:
        transaction.remove(path)


def test_target_of_unknown_origin_is_refused_and_no_folder_is_made(tmp_path):
    for name in "abcde":
        (tmp_path / name).write_text("unmarked")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name in ("a", "dangling", "loop", "pipe"):
        with pytest.raises(InputError, match=f"earlier results .*{name}, which it has not written"):
            atomic.check_writable(tmp_path / "new" / "result", tmp_path / name)
        with pytest.raises(InputError, match=f"earlier results .*{name}, which"):
            save(tmp_path / name, b"new")
        with pytest.raises(InputError, match=f"earlier results .*{name}, which"):
            remove(tmp_path / name)
    with pytest.raises(InputError, match="found .*a, .*b, .*c and 2 more, which"):
        atomic.check_writable(*(tmp_path / name for name in "abcde"))
    assert files_in(tmp_path) == ["a", "b", "c", "d", "dangling", "e", "loop", "pipe"]
    assert (tmp_path / "a").read_text() == "unmarked"


@pytest.mark.parametrize("step", ["written", "removed"])
def test_file_that_appears_between_check_and_commit_stays_and_nothing_is_changed(tmp_path, step):
    (tmp_path / "gone").write_text(OLD)
    targets = [tmp_path / name for name in ("gone", "one", "two")]
    atomic.check_writable(*targets)

    def write():
        with atomic.Transaction() as transaction:
            transaction.remove(targets[0])
            transaction.stage(targets[1]).write_bytes(b"1")
            if step == "written":
                transaction.stage(targets[2]).write_bytes(b"2")
            else:
                transaction.remove(targets[2])
            targets[2].write_text("unmarked")

    with pytest.raises(InputError, match="earlier results .*two, which it has not written"):
        write()
    assert files_in(tmp_path) == ["gone", "two"]
    assert targets[0].read_text() == OLD
    assert targets[2].read_text() == "unmarked"


def test_target_in_a_working_directory_that_is_gone_is_refused(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="the folder in which this runs is gone"):
        atomic.check_writable("a.csv")
    atomic.check_writable(tmp_path / "a.csv")


def test_target_that_is_no_regular_file_is_refused_and_kept(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match=str(path)):
            atomic.check_writable(path)
        assert not path.is_file()
        assert path.exists()


def test_folders_above_a_folder_for_results_are_made_too(tmp_path):
    atomic.check_folder(tmp_path / "a" / "b")
    atomic.check_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(("n", "expected"), [(3, "a0, a1, a2"), (5, "a0, a1, a2 and 2 more")])
def test_three_paths_are_named_and_the_others_are_counted(n, expected):
    assert atomic._listed([f"a{i}" for i in range(n)]) == expected


def test_temporary_folder_is_open_to_nobody_else(tmp_path):
    with atomic.temporary_beside(tmp_path / "a", ".b", atomic.new_folder) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
