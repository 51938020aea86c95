"""Find the odd images in a pile of images, with an autoencoder and without labels."""

import os

# Pixels of an image file, at most; OpenCV looks at this as it is imported. Its own bound is eight
# times that, and a file of a few bytes may claim as much.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))


class InputError(ValueError):
    """Something the user can mend: a flag, a file, a shape.

    The message is one line that says what was expected, what was found and what to do.
    The scripts print it behind ``error:`` and exit with status 2.
    """
