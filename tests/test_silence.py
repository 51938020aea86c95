import os

import pytest

from pyimagesearch.silence import standard_error_silenced, tensorflow_silenced


@pytest.mark.parametrize("silenced", [standard_error_silenced, tensorflow_silenced])
def test_silence_ends_with_its_block(silenced, capfd):
    with silenced():
        os.write(2, b"noise")
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"


def test_silence_ends_with_an_exception_too(capfd):
    with pytest.raises(ValueError, match="gets through"), standard_error_silenced():
        raise ValueError("gets through")
    os.write(2, b"news")
    assert capfd.readouterr().err == "news"
