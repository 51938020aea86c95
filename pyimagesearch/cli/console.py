"""The console: exit statuses, messages, progress and tables."""

import functools
import logging
import os
import shlex
import sys
import time
import traceback
from pathlib import Path

from pyimagesearch import InputError
from pyimagesearch.runtime.standard_streams import discard_output, open_closed_streams

logger = logging.getLogger(__name__)

OUT_OF_MEMORY = "not enough memory: use smaller images, batches or layers"


def print_line(text, stream):
    """Print a line with control characters, and letters that the stream lacks, escaped.

    File names may contain anything, such as codes that control a terminal. Where the stream takes no
    more, as on a full disk, this line and all further ones are lost: the results matter more.

    Args:
        text: The line.
        stream: A text stream.

    Raises:
        BrokenPipeError: If the reader of standard output is gone.
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError as fault:
        if isinstance(fault, BrokenPipeError) and stream is sys.stdout:
            raise
        discard_output(stream)


def exit_status(main):
    """Decorate a script's `main(argv)` so that it returns an exit status.

    0: success. 2: an `InputError`, printed in one line. 130: Ctrl-C. 1: a bug, whose traceback is
    printed.
    """

    @functools.wraps(main)
    def wrapped(argv=None):
        open_closed_streams()
        # Pictures are files. A notebook names another backend, which its commands may not have.
        os.environ["MPLBACKEND"] = "agg"
        try:
            main(argv)
            sys.stdout.flush()
            return 0
        except InputError as error:
            print_line("error: " + " ".join(str(error).split()), sys.stderr)
            return 2
        except MemoryError:
            print_line(f"error: {OUT_OF_MEMORY}", sys.stderr)
            return 2
        except BrokenPipeError:
            # The reader of the output is gone (`... | head`): discard the rest.
            discard_output(sys.stdout)
            return 1
        except KeyboardInterrupt:
            print_line("", sys.stderr)  # below what the terminal shows as ^C
            print_line("interrupted", sys.stderr)
            return 130
        except ImportError as error:
            traceback.print_exc()
            print_line(
                f"error: a library could not be loaded ({error}): run "
                f"{sys.executable} -m pip install -r requirements.txt",
                sys.stderr,
            )
            return 2
        except Exception as error:
            # TensorFlow's class is compared by name, since importing it takes seconds.
            if type(error).__name__ == "ResourceExhaustedError":
                print_line(f"error: {OUT_OF_MEMORY}", sys.stderr)
                return 2
            traceback.print_exc()
            print_line("error: this is a bug of the program, not of your input", sys.stderr)
            return 1

    return wrapped


class ConsoleHandler(logging.Handler):
    """Prints `[INFO]` lines on standard output, `[WARNING]` and worse on standard error."""

    def emit(self, record):
        """Print one record; streams are looked up late, since notebooks and tests replace them."""
        try:
            stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
            print_line(f"[{record.levelname}] {record.getMessage()}", stream)
        except BrokenPipeError:
            raise  # the reader of the output is gone: `exit_status` ends the program
        except Exception:
            self.handleError(record)


def configure_logging(quiet=False):
    """Let the loggers of this package print what happens.

    Args:
        quiet: Whether to print nothing below an error.
    """
    logger = logging.getLogger("pyimagesearch")
    if not any(isinstance(handler, ConsoleHandler) for handler in logger.handlers):
        logger.addHandler(ConsoleHandler())
    logger.setLevel(logging.ERROR if quiet else logging.INFO)
    # Libraries give the root logger handlers of their own, which would print everything again.
    logger.propagate = False


class Progress:
    """Prints how far a piece of work is: a bar on a terminal, elsewhere a line now and then.

    Args:
        what: What is counted, such as `"epoch"`.

    Example:
        >>> configure_logging()
        >>> progress = Progress("images scored")
        >>> progress(0, 20)
        >>> progress(20, 20)
        [INFO] images scored 20/20
    """

    SECONDS_BETWEEN_LINES = 5

    def __init__(self, what):
        self.what = what
        self.started = self.last_line = self.first = None

    def __call__(self, done, total, **figures):
        """Print how far the work is. The first call marks its start.

        Args:
            done: How much of it is done.
            total: Out of how much.
            **figures: Further numbers, such as the loss; `None` is left out.
        """
        now = time.monotonic()
        if self.started is None or done <= self.first:
            self.started = self.last_line = now
            self.first = done
        if not logger.isEnabledFor(logging.INFO):
            return
        parts = [f"{name} {value:.5f}" for name, value in figures.items() if value is not None]
        if self.first < done < total:
            pace = (now - self.started) / (done - self.first)
            parts.append(f"{pace * (total - done):.0f} s left")
        line = ", ".join([f"{self.what} {done:,}/{total:,}", *parts])
        if sys.stdout.isatty():
            bar = "=" * (24 * done // total)
            # "\x1b[K" clears what a longer line has left behind.
            end = "\n" if done == total else ""
            print(f"\r[INFO] [{bar:24}] {line}\x1b[K", end=end, flush=True)
        elif done == total or now - self.last_line >= self.SECONDS_BETWEEN_LINES:
            self.last_line = now
            logger.info(line)


def report_files(source, trained_on=None):
    """Say which files were taken for what, and warn of those that are passed over or different.

    Args:
        source: A `Source` or a `Dataset`.
        trained_on: As for `preprocessing.differences`.
    """
    from pyimagesearch.data import preprocessing
    from pyimagesearch.data.image_files import format_skipped

    for remark in source.remarks:
        logger.info(remark)
    if getattr(source.images, "facts", {}).get("is_deep"):
        logger.info(f"images of more than 8 bits: white is {source.images.maximum:,}")
    if source.skipped:
        n = len(source.skipped)
        logger.warning(
            f"passed over {n:,} file{'s' if n > 1 else ''}: {format_skipped(source.skipped)}"
        )
    warn_of_own_pictures(source.own_pictures)
    for difference in preprocessing.differences(source.images, trained_on):
        logger.warning(difference)


def warn_of_own_pictures(paths):
    """Warn of pictures in a folder of images that the suite itself has written, if there are any.

    Args:
        paths: `Dataset.own_pictures`.
    """
    if len(paths) == 1:
        logger.warning(f"1 picture that this suite has written is not read as an image: {paths[0]}")
    elif paths:
        logger.warning(
            f"{len(paths):,} pictures that this suite has written are not read as images, such as "
            f"{paths[0]}"
        )


def warn_of_source(source, requested):
    """Warn of what is missing in a source of images.

    Args:
        source: A `sources.Source`.
        requested: What was asked for: `--source`.
    """
    from pyimagesearch.data import sources

    if source.name == "digits" and requested == "auto":
        logger.warning(f"no MNIST, so these are scikit-learn's small digits; {sources.MNIST_HINT}")
    report_files(source)


def report_threshold(rule, rule_text, score, threshold, scores, flagged):
    """Say what the threshold is, how many images it flags, and what else stands out.

    Args:
        rule: A key of `thresholds.RULES`.
        rule_text: The rule as text.
        score: Name of the score.
        threshold: The threshold.
        scores: float array `(N,)`.
        flagged: bool array `(N,)`.
    """
    import numpy as np

    from pyimagesearch.detection import thresholds

    n = int(flagged.sum())
    logger.info(f"threshold rule: {rule_text}")
    logger.info(f"{score} threshold: {threshold:.6f}")
    logger.info(f"{n:,} outlier{'' if n == 1 else 's'} found")
    if rule == "auto":
        logger.info(f"estimated share of anomalies: {flagged.mean():.2%}")
    apart = thresholds.find_gap(scores)
    if apart and apart != n:
        falling = np.sort(scores)[::-1]
        between = thresholds.between(falling[apart - 1], falling[apart])
        logger.info(f"a gap after rank {apart:,}: --threshold {between} would flag {apart:,}")


# Highest ranks that are named at least.
NAMED = 5


def report_flagged(ranking, flagged, folder, top):
    """Name the oddest images, the list of the flagged ones, and the page; and how to move them.

    Args:
        ranking: A `ranking.Ranking`.
        flagged: bool array `(N,)`.
        folder: Path of the results.
        top: How many of the flagged images to name, at most.
    """
    folder, n = Path(folder), int(flagged.sum())
    named = min(len(ranking.names), max(NAMED, min(n, top)))
    logger.info(f"the {named:,} oddest:" if named > 1 else "the oddest:")
    for rank in range(named):
        logger.info(f"{rank + 1:>4}  {ranking.scores[rank]:<#9.4g} {ranking.names[rank]}")
    if n > named:
        logger.info(f"      and {n - named:,} more flagged")
    logger.info(f"wrote the results to {folder}: the page to open is {folder / 'report.html'}")
    listed = folder / "flagged.txt"
    if n and all(Path(name).is_file() for name in ranking.names[: min(n, NAMED)]):
        logger.info(f"the flagged images are listed in {listed}; to move them into a folder odd:")
        logger.info(move_command(listed))


def move_command(listed):
    """A shell command that moves the files of a list, and overwrites none."""
    read = shlex.quote(str(listed))
    return f'mkdir -p odd && while IFS= read -r name; do mv -n -- "$name" odd/; done < {read}'


def epoch_progress(logdir=None):
    """Make a function that prints how far a training is.

    Args:
        logdir: Folder in which it writes the figures for TensorBoard as well; `None`: nowhere.

    Returns:
        A function `(epoch, epochs, **figures)`, as `train.train` calls it.
    """
    from pyimagesearch.training.tensorboard import tensorboard_writer

    progress = Progress("epoch")
    write = tensorboard_writer(logdir) if logdir else None

    def on_epoch(epoch, epochs, loss=None, val_loss=None, **others):
        progress(epoch, epochs, loss=loss, val_loss=val_loss)
        if write is not None:
            write(epoch, loss=loss, val_loss=val_loss, **others)

    return on_epoch


def save_and_print(path, table):
    """Save a table as CSV, and print it.

    Args:
        path: Where to save it.
        table: List of tuples of text, the names of the columns first.
    """
    from pyimagesearch.storage import atomic, files

    with atomic.Transaction() as transaction:
        files.save_csv(transaction.stage(path), table[0], table[1:])
    logger.info(f"wrote {path}")
    for line in format_table(table).splitlines():
        print_line(line, sys.stdout)


def format_table(table):
    """A table of text in columns: the first flush left, the others flush right.

    Example:
        >>> print(format_table([("name", "n"), ("a", "10")]))
        name   n
        a     10
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for first, *others in table:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells))
    return "\n".join(lines)
