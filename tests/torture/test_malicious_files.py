"""Every malicious file of the table, read as the scripts read it."""

import pytest

from pyimagesearch import InputError
from pyimagesearch.torture import file_trials, malicious_files


@pytest.mark.parametrize(("suffix", "name"), malicious_files.MALICIOUS_FILES)
def test_loader_when_the_file_is_malicious_refuses(suffix, name, tmp_path):
    canary = tmp_path / "executed"
    path = tmp_path / f"some{suffix}"
    path.write_bytes(malicious_files.MALICIOUS_FILES[suffix, name](f"touch {canary}"))
    with pytest.raises(InputError) as refusal:
        file_trials.loaders()[suffix](path)
    assert not canary.exists()
    assert "\n" not in str(refusal.value)
