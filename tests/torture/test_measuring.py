import gc
import time

from pyimagesearch.torture import file_trials, measuring
from pyimagesearch.torture.trials import TrialCounts


def test_file_that_takes_more_memory_or_time_than_promised_is_counted(monkeypatch):
    # However busy the machine is, only the slow one takes too long.
    monkeypatch.setattr(measuring, "MAX_SECONDS", 60)
    monkeypatch.setattr(measuring, "MAX_BYTES", 2**24)
    counts, hook = TrialCounts("files"), file_trials.AuditHook()
    gc.collect()  # what other tests left would be given back meanwhile

    def fail_for_memory():
        try:
            raise MemoryError
        except MemoryError:
            raise file_trials.InputError("too much") from None

    assert file_trials.try_file(counts, "fine", hook, lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "MAX_SECONDS", 0.1)
        assert not file_trials.try_file(counts, "slow", hook, lambda: time.sleep(0.2))
    assert not file_trials.try_file(counts, "large", hook, lambda: b"x" * 2**28)
    assert not file_trials.try_file(counts, "in vain", hook, fail_for_memory)
    assert not file_trials.try_file(counts, "not refused", hook, lambda: None, must_refuse=True)
    assert counts.row() == ("files", "5", "1", "0", "0", "2", "1", "0")
