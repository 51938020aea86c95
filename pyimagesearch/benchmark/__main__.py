"""Tables of detection quality and speed, printed and saved as CSV.

python -m pyimagesearch.benchmark architectures --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark detection --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark flagging --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark photos --sets PATH/TO/mvtec/bottle
python -m pyimagesearch.benchmark rotation --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark speed --source PATH/TO/mnist.npz
"""

import sys
from pathlib import Path

from pyimagesearch.benchmark import architectures, detection, flagging, photos, rotation, speed
from pyimagesearch.cli.argument_types import Parser, add_output
from pyimagesearch.cli.console import configure_logging, exit_status, save_and_print
from pyimagesearch.runtime.quiet import quiet_tensorflow
from pyimagesearch.storage import atomic

# Name -> module with `HELP`, `add_arguments(parser)`, and `table(args)`, which returns a list of
# tuples of text, the names of the columns first. Some have `FILES`, the names of the files that
# they write beside the table, or `inputs(args)`, the paths that are read if not `args.source`.
TABLES = {
    "architectures": architectures,
    "detection": detection,
    "flagging": flagging,
    "photos": photos,
    "rotation": rotation,
    "speed": speed,
}


def parser():
    """The flags of `python -m pyimagesearch.benchmark`."""
    root = Parser(
        prog="python -m pyimagesearch.benchmark",
        description="Measure detection quality and speed, as a table.",
    )
    tables = root.add_subparsers(dest="table", required=True, metavar="TABLE")
    for name, module in TABLES.items():
        table = tables.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(table)
        add_output(table, "output/benchmark")
    return root


@exit_status
def main(argv=None):
    """Make the table that the flags name, save it and print it."""
    args = parser().parse_args(argv)
    configure_logging()

    # Imported here, so that --help and a wrong flag are answered at once.
    with quiet_tensorflow():
        import tensorflow as tf

    # Every network has functions of its own to compile, which TensorFlow would warn of.
    tf.get_logger().setLevel("ERROR")
    module, path = TABLES[args.table], Path(args.output, f"{args.table}.csv")
    beside = [path.with_name(name) for name in getattr(module, "FILES", ())]
    inputs = module.inputs(args) if hasattr(module, "inputs") else [args.source]
    atomic.check_writable(path, *beside, inputs=inputs)
    save_and_print(path, module.table(args))


if __name__ == "__main__":
    sys.exit(main())
