import logging
import os

import keras
import pytest

from pyimagesearch import InputError
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


def test_quiet_tensorflow_configures_keras_whatever_its_settings_say():
    try:
        keras.config.set_floatx("float16")
        keras.config.set_image_data_format("channels_first")
        with quiet_tensorflow():
            assert keras.config.floatx() == "float32"
        assert keras.config.image_data_format() == "channels_last"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")


def test_quiet_tensorflow_when_keras_is_in_use_with_another_backend_refuses(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(InputError, match="found it in use with jax"), quiet_tensorflow():
        pass
