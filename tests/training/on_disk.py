"""Images that are not in memory."""


class OnDisk:
    """Images that are read when they are indexed."""

    def __init__(self, pixels):
        self.pixels, self.shape = pixels, pixels.shape

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, indices):
        return self.pixels[indices]
