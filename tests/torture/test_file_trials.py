import subprocess

from pyimagesearch.torture import file_trials


def test_audit_hook_when_a_process_is_started_records_it():
    hook = file_trials.AuditHook()
    error, events = hook.call(lambda: subprocess.run(["true"], check=True))
    assert error is None
    assert "subprocess.Popen" in events
    error, events = hook.call(lambda: 1 / 0)
    assert isinstance(error, ZeroDivisionError)
    assert events == []
    subprocess.run(["true"], check=True)
    assert hook.events == []
