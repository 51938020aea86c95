import logging
import os

import pytest

from pyimagesearch.runtime.quiet import quiet_retracing, quiet_stderr, quiet_tensorflow


@pytest.mark.parametrize("silenced", [quiet_stderr, quiet_tensorflow])
def test_silence_ends_with_its_block(silenced, capfd):
    with silenced():
        os.write(2, b"noise")
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_silence_ends_with_an_exception_too(capfd):
    with pytest.raises(ValueError, match="gets through"), quiet_stderr():
        raise ValueError("gets through")
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_retracing_alone_is_untold_and_only_meanwhile(caplog):
    caplog.set_level(logging.WARNING, logger="tensorflow")
    tensorflow = logging.getLogger("tensorflow")
    with quiet_retracing():
        tensorflow.warning("5 calls to %s triggered tf.function retracing", "f")
        tensorflow.warning("news")
    tensorflow.warning("6 calls to %s triggered tf.function retracing", "f")
    assert [record.getMessage()[:7] for record in caplog.records] == ["news", "6 calls"]
