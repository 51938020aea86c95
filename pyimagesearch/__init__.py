"""Find the odd images in a pile of images, with an autoencoder and without labels."""


class InputError(ValueError):
    """Something the user can mend: a flag, a file, a shape.

    The message is one line that says what was expected, what was found and what to do.
    The scripts print it behind ``error:`` and exit with status 2.
    """
