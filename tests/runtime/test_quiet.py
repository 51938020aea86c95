import logging
import os

import pytest

from pyimagesearch.runtime.quiet import quiet_retracing, quiet_stderr, quiet_tensorflow


@pytest.mark.parametrize("quiet", [quiet_stderr, quiet_tensorflow])
def test_quiet_stderr_after_its_block_lets_messages_pass(quiet, capfd):
    with quiet():
        os.write(2, b"discarded")
    os.write(2, b"printed")
    assert capfd.readouterr().err == "printed"


def test_quiet_stderr_after_an_exception_lets_messages_pass(capfd):
    with pytest.raises(ValueError, match="passes"), quiet_stderr():
        raise ValueError("passes")
    os.write(2, b"printed")
    assert capfd.readouterr().err == "printed"


def test_quiet_retracing_discards_that_warning_alone_and_only_in_its_block(caplog):
    caplog.set_level(logging.WARNING, logger="tensorflow")
    tensorflow = logging.getLogger("tensorflow")
    with quiet_retracing():
        tensorflow.warning("5 calls to %s triggered tf.function retracing", "f")
        tensorflow.warning("other")
    tensorflow.warning("6 calls to %s triggered tf.function retracing", "f")
    assert [record.getMessage()[:7] for record in caplog.records] == ["other", "6 calls"]
