"""How do the networks compare, and how fast are they? Tables, printed and saved as CSV.

python -m pyimagesearch.benchmark architectures --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark rotation --source PATH/TO/mnist.npz
python -m pyimagesearch.benchmark speed --source PATH/TO/mnist.npz
"""

import sys
from pathlib import Path

from pyimagesearch import (
    benchmark_architectures,
    benchmark_detection,
    benchmark_rotation,
    benchmark_speed,
    commandline,
)
from pyimagesearch.silence import tensorflow_silenced

# Name -> module with `HELP`, `add_arguments(parser)`, and `table(args, narrator)`, which returns a
# list of tuples of text, the names of the columns first.
TABLES = {
    "architectures": benchmark_architectures,
    "detection": benchmark_detection,
    "rotation": benchmark_rotation,
    "speed": benchmark_speed,
}


def in_words(table):
    """A table of text in columns: the first flush left, the others flush right.

    Example:
        >>> print(in_words([("name", "n"), ("a", "10")]))
        name   n
        a     10
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def parser():
    """The flags of `python -m pyimagesearch.benchmark`."""
    root = commandline.Parser(
        prog="-m pyimagesearch.benchmark", description="Compare the networks in a table."
    )
    tables = root.add_subparsers(dest="table", required=True, metavar="TABLE")
    for name, module in TABLES.items():
        table = tables.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(table)
        table.add_argument(
            "--output",
            default="output/benchmark",
            metavar="DIR",
            help="folder for the table as CSV (default: %(default)s)",
        )
    return root


@commandline.exit_status
def main(argv=None):
    """Make the table that the flags ask for, save it and print it."""
    args = parser().parse_args(argv)
    narrator = commandline.Narrator()

    # Imported here, so that --help and a wrong flag are answered at once.
    with tensorflow_silenced():
        import tensorflow as tf

        from pyimagesearch import persistence

    # Every network has functions of its own to be compiled; TensorFlow would warn of so many.
    tf.get_logger().setLevel("ERROR")
    path = Path(args.output, f"{args.table}.csv")
    persistence.check_targets(path)
    table = TABLES[args.table].table(args, narrator)
    persistence.save_csv(path, table[0], table[1:])
    narrator.say(f"wrote {path}")
    print(in_words(table))


if __name__ == "__main__":
    sys.exit(main())
