"""Safe loading of networks from `.keras` archives of unknown origin.

The archive is never passed to Keras. The names in its description of the network are checked
against an exact list, everything that only training needs is removed, and the network is built.
Then its weights, and nothing else, are read from a file in which every link has been checked.
Before any memory is taken, the description is compared with the number of weights in that file.
"""

import json
import math
import shutil
import zipfile

from pyimagesearch import InputError
from pyimagesearch.storage.files import first_line

HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS = "model.weights.h5"
# The members of an archive of Keras, with their bytes, at most.
MEMBERS = {"metadata.json": 2**16, "config.json": 2**24, WEIGHTS: 2**34}
# Outputs of a layer for one image, at most: 64 channels of 1024x1024 pixels.
MAX_OUTPUTS = 2**26

# Layers of autoencoders, with their arguments that are initializers.
_KERNEL_AND_BIAS = ("kernel_initializer", "bias_initializer")
LAYERS = {
    **dict.fromkeys(("Conv2D", "Conv2DTranspose", "Dense"), _KERNEL_AND_BIAS),
    "BatchNormalization": (
        "beta_initializer",
        "gamma_initializer",
        "moving_mean_initializer",
        "moving_variance_initializer",
    ),
    "LayerNormalization": ("beta_initializer", "gamma_initializer"),
    "PReLU": ("alpha_initializer",),
    **dict.fromkeys(
        [
            "Activation",
            "Add",
            "AveragePooling2D",
            "Concatenate",
            "Cropping2D",
            "Dropout",
            "ELU",
            "Flatten",
            "GaussianDropout",
            "GaussianNoise",
            "GlobalAveragePooling2D",
            "InputLayer",
            "LeakyReLU",
            "MaxPooling2D",
            "ReLU",
            "Rescaling",
            "Reshape",
            "SpatialDropout2D",
            "UnitNormalization",
            "UpSampling2D",
            "ZeroPadding2D",
        ],
        (),
    ),
}
INITIALIZERS = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
]
# Pairs of module and name that a description may use: an exact list, never a prefix.
ALLOWED = {
    ("keras.src.models.functional", "Functional"),
    ("keras.models", "Functional"),
    ("keras", "Functional"),
    ("keras.models", "Model"),
    ("keras", "Model"),
    ("keras.models", "Sequential"),
    ("keras", "Sequential"),
    ("keras", "DTypePolicy"),
    ("keras.dtype_policies", "DTypePolicy"),
    *(("keras.layers", name) for name in LAYERS),
    *(("keras.initializers", name) for name in INITIALIZERS),
    *(("keras.regularizers", name) for name in ("L1", "L2", "L1L2")),
}
NAME_KEYS = {"module", "class_name", "registered_name", "spec_name"}


class _Unsafe(Exception):
    """The archive contains something that no autoencoder needs."""


class _CountingZeros:
    """Initializer of weights by zeros, of at most as many numbers as will be read over them.

    Args:
        available: The number of weights in the archive.
    """

    def __init__(self, available):
        self.left = available

    def __call__(self, shape, dtype=None):
        import keras

        self.left -= math.prod(shape)
        if self.left < 0:
            raise _Unsafe("more weights than it holds")
        return keras.ops.zeros(shape, dtype)


def read_model(file, name, scratch):
    """Read a network from a `.keras` archive, without running any code in it.

    Args:
        file: Binary file, open for reading.
        name: Name of the file in messages.
        scratch: Path of a file to which the weights are unpacked; it has to end with
            `.weights.h5`.

    Returns:
        A Keras model. Its memory is bounded by the size of the file.

    Raises:
        InputError: If the file is not a `.keras` archive; if the archive has other members than
            Keras writes, or compressed ones; if the network has other parts than the layers in
            `LAYERS`, or more weights than the archive; or if weights are in other files.
    """
    check_format(file, name)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive.infolist())
            with archive.open(WEIGHTS) as packed:
                unpack(packed, scratch)
            zeros = _CountingZeros(_count_weights(scratch))
            description = _checked(json.loads(archive.read("config.json")), zeros)
            return _build(description, scratch)
    except InputError:
        raise
    except _Unsafe as reason:
        raise InputError(
            f"{name} refused: expected an autoencoder as Keras saves it, but it asks for {reason}"
        ) from None
    except (MemoryError, RecursionError):
        raise InputError(f"{name} refused: reading it would take too much memory") from None
    except Exception as fault:
        # A broken archive can raise any exception: there are too many kinds to list.
        raise InputError(
            f"{name} can't be loaded as a Keras model ({first_line(fault)}): train again"
        ) from None


def check_format(file, name):
    """Raise an `InputError` if an open file is no zip archive, as `.keras` archives are."""
    if file.read(len(HDF5)) == HDF5:
        raise InputError(
            f"{name} is an HDF5 file, which can hide code: expected a .keras archive; train "
            "again to get one"
        )
    if not zipfile.is_zipfile(file):
        raise InputError(
            f"{name} is not a whole .keras archive: train again with "
            "train_unsupervised_autoencoder.py"
        )


def _check_members(members):
    """Check that an archive has the members that Keras writes, and as Keras writes them."""
    names = [member.filename for member in members]
    if unknown := [name for name in names if name not in MEMBERS]:
        raise _Unsafe(f"the member {unknown[0][:100]!r}")
    if sorted(names) != sorted(MEMBERS):
        raise ValueError(f"its members are {', '.join(names) or 'none'}")
    for member in members:
        # Members that are stored uncompressed take no more memory than the file takes on disk.
        if member.compress_type != zipfile.ZIP_STORED:
            raise _Unsafe(f"{member.filename} to be unpacked")
        if member.file_size > MEMBERS[member.filename]:
            raise _Unsafe(f"{member.file_size:,} bytes of {member.filename}")


def unpack(packed, path):
    """Copy an open member of an archive to a file."""
    try:
        with path.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    except OSError as fault:
        raise InputError(
            f"cannot write {path} to unpack the model there: {fault.strerror or fault}"
        ) from None


def _count_weights(path):
    """The number of weights in a weights file, all of which have to be in the file itself."""
    import h5py

    sizes, external_links = [], []

    def check_link(name, link):
        if not isinstance(link, h5py.HardLink):
            external_links.append(f"the {type(link).__name__} {name}")

    def check_item(name, item):
        if isinstance(item, h5py.Group):
            return
        if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "biuf":
            raise _Unsafe(f"{name}, which is no array of numbers")
        if item.external or item.is_virtual:
            raise _Unsafe(f"{name}, which lies in another file")
        # A dataset can declare a size without storing it, or be compressed to almost nothing.
        sizes.append((item.size, item.nbytes))

    with h5py.File(path, "r") as file:
        file.visititems_links(check_link)
        if external_links:
            raise _Unsafe(external_links[0])
        file.visititems(check_item)
    if sum(nbytes for _, nbytes in sizes) > path.stat().st_size:
        raise _Unsafe("more numbers than its weights file has bytes for")
    return sum(size for size, _ in sizes)


def _checked(part, zeros):
    """Copy a part of a description with all names checked, without what only training needs."""
    if isinstance(part, list):
        return [_checked(item, zeros) for item in part]
    if not isinstance(part, dict):
        return part
    class_name = part.get("class_name")
    if NAME_KEYS & part.keys():
        named = (part.get("module"), class_name)
        tensor = class_name == "__keras_tensor__" and NAME_KEYS & part.keys() == {"class_name"}
        # For classes of Keras itself, the registered name is the class name.
        known = part.get("registered_name") in (None, class_name) and "spec_name" not in part
        if not tensor and not (known and _is_allowed(named)):
            asked = [part.get(key) for key in ("module", "class_name", "registered_name")]
            raise _Unsafe(".".join(str(name)[:100] for name in asked if name is not None))
    kept = {
        key: _checked(value, zeros)
        for key, value in part.items()
        # The arguments of `compile`, and sizes that follow from the shape of the images.
        if key not in ("compile_config", "build_config")
    }
    if part.get("module") == "keras.layers" and isinstance(kept.get("config"), dict):
        kept["config"].update(dict.fromkeys(LAYERS[class_name], zeros))
    return kept


def _is_allowed(named):
    """Whether a description may use a pair of module and name."""
    return all(isinstance(name, str) for name in named) and named in ALLOWED


def _build(description, weights):
    """Build the network of a checked description and load its weights."""
    import keras

    if not isinstance(description, dict):
        raise _Unsafe(f"a {type(description).__name__}")
    model = keras.saving.deserialize_keras_object(description, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise _Unsafe(f"a single {type(model).__name__}")
    if layer := oversized_layer(model):
        raise _Unsafe(f"{MAX_OUTPUTS:,} numbers or more of the layer {layer.name}")
    model.load_weights(weights)
    for layer in _layers(model):
        # Initializers of Keras, so that the model can be saved and cloned.
        for name in LAYERS.get(type(layer).__name__, ()):
            setattr(layer, name, keras.initializers.Zeros())
    return model


def oversized_layer(model):
    """The first layer that makes more than `MAX_OUTPUTS` numbers of one image, or `None`."""
    for layer in _layers(model):
        for tensor in layer.output if isinstance(layer.output, list) else [layer.output]:
            if math.prod(size or 1 for size in tensor.shape) > MAX_OUTPUTS:
                return layer
    return None


def _layers(model):
    """All layers of a model, including those of models in it."""
    import keras

    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
