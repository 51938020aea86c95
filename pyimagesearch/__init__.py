"""Find the outliers in a pile of images, with an autoencoder and without labels.

    convautoencoder.py   ConvAutoencoder.build, the network of the PyImageSearch tutorial
    detector.py          AutoencoderDetector, an outlier detector for scikit-learn

    models/      the networks, pretrained ones too, and the normalization of images around them
    training/    recipes, the training loop, sample weights of outliers, checkpoints
    detection/   anomaly score -> threshold -> metrics
    data/        images from folders, files and datasets
    storage/     files written whole or not at all, and read safely
    runtime/     devices and workers, quietly
    reporting/   charts, montages, tables and the page of results
    cli/         flags and messages of the command lines

    export/      python -m pyimagesearch.export: for TensorFlow Serving, LiteRT and ONNX Runtime
    benchmark/   python -m pyimagesearch.benchmark: detection and speed, beside other methods
    torture/     python -m pyimagesearch.torture: crashes, broken files, malicious files

Images are float32 `(N, H, W, C)` in [0, 1]. The higher a score, the more anomalous the image.
"""

import os

# The most pixels of an image file; OpenCV reads this as it is imported. Its default is eight times
# that, and a file of a few bytes may claim as many.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))


class InputError(ValueError):
    """An error that the user can correct: in a flag, a file or a shape.

    The message is one line that says what was expected, what was received and what to do. The
    scripts print it after ``error:`` and exit with status 2.
    """
