"""How is a network read from a `.keras` archive that a stranger has sent?

The archive is never handed to Keras. Its description of the network is checked name by name
against an exact list, stripped of all that a trained network has no need of, and built; then its
weights, and nothing else, are read from a file whose every link has been looked at. Before any
memory is taken, the description is held against the number of weights that are there.
"""

import json
import math
import shutil
import zipfile

from pyimagesearch import InputError

HDF5 = b"\x89HDF\r\n\x1a\n"
WEIGHTS = "model.weights.h5"
# What Keras puts into an archive, with the number of bytes that it may have at most.
MEMBERS = {"metadata.json": 2**16, "config.json": 2**24, WEIGHTS: 2**34}
# Numbers that a layer may make of one image, at most: 64 channels of 1024x1024 pixels.
MAX_OUTPUTS = 2**26

# Layers of autoencoders, with the arguments that say how their weights start out.
_OF_WEIGHTS = ("kernel_initializer", "bias_initializer")
LAYERS = {
    **dict.fromkeys(("Conv2D", "Conv2DTranspose", "Dense"), _OF_WEIGHTS),
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
# An exact list, never a prefix: every module with every name in it that a description may use.
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
NAMING = {"module", "class_name", "registered_name", "spec_name"}


class _Unsafe(Exception):
    """The archive asks for something that no autoencoder needs."""


class _Blank:
    """Starts weights as zeros, since they are about to be read, and no more than there are.

    Args:
        most: How many numbers there are.
    """

    def __init__(self, most):
        self.left = most

    def __call__(self, shape, dtype=None):
        import keras

        self.left -= math.prod(shape)
        if self.left < 0:
            raise _Unsafe("more weights than it holds")
        return keras.ops.zeros(shape, dtype)


def read_model(file, name, scratch):
    """Read a network from a `.keras` archive, and run nothing.

    Args:
        file: Binary file, open for reading.
        name: What to call it in messages.
        scratch: Path of a file to unpack the weights to; it has to end with `.weights.h5`.

    Returns:
        A Keras model. Its memory is bounded by the file's size.

    Raises:
        InputError: If the file is no `.keras` archive; if the archive has other members than
            Keras writes, or compressed ones; if the network has other parts than the layers in
            `LAYERS`, or more weights than the archive holds; or if the weights lie elsewhere.
    """
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
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive.infolist())
            with archive.open(WEIGHTS) as packed:
                _unpack(packed, scratch)
            blank = _Blank(_count_weights(scratch))
            description = _checked(json.loads(archive.read("config.json")), blank)
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
        # Whatever a mutilated archive trips over: there are too many kinds to list.
        reason = str(fault).strip().splitlines() or [type(fault).__name__]
        raise InputError(
            f"{name} can't be loaded as a Keras model ({reason[0][:200]}): train again"
        ) from None


def _check_members(members):
    """See that the archive holds what Keras puts into it, as Keras puts it there."""
    names = [member.filename for member in members]
    if strange := [name for name in names if name not in MEMBERS]:
        raise _Unsafe(f"the member {strange[0][:100]!r}")
    if sorted(names) != sorted(MEMBERS):
        raise ValueError(f"its members are {', '.join(names) or 'none'}")
    for member in members:
        # Stored as they are, members take no more memory than the file takes on disk.
        if member.compress_type != zipfile.ZIP_STORED:
            raise _Unsafe(f"{member.filename} to be unpacked")
        if member.file_size > MEMBERS[member.filename]:
            raise _Unsafe(f"{member.file_size:,} bytes of {member.filename}")


def _unpack(packed, path):
    """Copy an open member of an archive to a file."""
    try:
        with path.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    except OSError as fault:
        raise InputError(
            f"cannot write {path} to unpack the model there: {fault.strerror or fault}"
        ) from None


def _count_weights(path):
    """How many numbers a weights file holds, all of them in itself."""
    import h5py

    sizes, leading_elsewhere = [], []

    def note_link(name, link):
        if not isinstance(link, h5py.HardLink):
            leading_elsewhere.append(f"the {type(link).__name__} {name}")

    def check(name, thing):
        if isinstance(thing, h5py.Group):
            return
        if not isinstance(thing, h5py.Dataset) or thing.dtype.kind not in "biuf":
            raise _Unsafe(f"{name}, which is no array of numbers")
        if thing.external or thing.is_virtual:
            raise _Unsafe(f"{name}, which lies in another file")
        # A data set can claim a size without having it, and be packed to next to nothing.
        sizes.append((thing.size, thing.nbytes))

    with h5py.File(path, "r") as file:
        file.visititems_links(note_link)
        if leading_elsewhere:
            raise _Unsafe(leading_elsewhere[0])
        file.visititems(check)
    if sum(nbytes for _, nbytes in sizes) > path.stat().st_size:
        raise _Unsafe("more numbers than its weights file has bytes for")
    return sum(size for size, _ in sizes)


def _checked(part, blank):
    """Copy a part of a description, every name in it checked, without what only training needs."""
    if isinstance(part, list):
        return [_checked(item, blank) for item in part]
    if not isinstance(part, dict):
        return part
    class_name = part.get("class_name")
    if NAMING & part.keys():
        named = (part.get("module"), class_name)
        tensor = class_name == "__keras_tensor__" and NAMING & part.keys() == {"class_name"}
        # Of what is built into Keras, the registered name says nothing new.
        known = part.get("registered_name") in (None, class_name) and "spec_name" not in part
        if not tensor and not (known and _is_allowed(named)):
            asked = [part.get(key) for key in ("module", "class_name", "registered_name")]
            raise _Unsafe(".".join(str(name)[:100] for name in asked if name is not None))
    kept = {
        key: _checked(value, blank)
        for key, value in part.items()
        # How it was compiled, and sizes that follow from those of the images.
        if key not in ("compile_config", "build_config")
    }
    if part.get("module") == "keras.layers" and isinstance(kept.get("config"), dict):
        kept["config"].update(dict.fromkeys(LAYERS[class_name], blank))
    return kept


def _is_allowed(named):
    return all(isinstance(name, str) for name in named) and named in ALLOWED


def _build(description, weights):
    """The network that a checked description describes, with its weights."""
    import keras

    if not isinstance(description, dict):
        raise _Unsafe(f"a {type(description).__name__}")
    model = keras.saving.deserialize_keras_object(description, safe_mode=True)
    if not isinstance(model, keras.Model):
        raise _Unsafe(f"a single {type(model).__name__}")
    for layer in _layers(model):
        for tensor in layer.output if isinstance(layer.output, list) else [layer.output]:
            if math.prod(size or 1 for size in tensor.shape) > MAX_OUTPUTS:
                raise _Unsafe(f"{tensor.shape} numbers of the layer {layer.name}")
    model.load_weights(weights)
    for layer in _layers(model):
        # So that it can be saved and copied like any other.
        for name in LAYERS.get(type(layer).__name__, ()):
            setattr(layer, name, keras.initializers.Zeros())
    return model


def _layers(model):
    """All layers of a model, those of the models in it too."""
    import keras

    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
