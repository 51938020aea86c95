"""Artifacts: every file that a training run writes, and none that it reads."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from pyimagesearch.data import dataset_files, sources
from pyimagesearch.data.batches import load_into_memory
from pyimagesearch.data.image_files import ImageFiles
from pyimagesearch.reporting import drawing
from pyimagesearch.runtime.distribution import Cluster
from pyimagesearch.storage import files, model_files
from pyimagesearch.storage.atomic import Transaction, check_writable
from pyimagesearch.training import checkpoint
from pyimagesearch.training.recipes import recommended_score

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingArtifacts:
    """The files of a training run. Only the chief of a cluster touches them.

    Attributes:
        dataset: Path of the pickle of the images, beside which their manifest lies.
        model: Path of the model, beside which its settings, its references and, hidden, its
            checkpoint lie.
        vis: Path of the picture of reconstructions.
        plot: Path of the picture of the loss curves.
        inputs: Paths of what the run reads, and must not write over.
        max_pickle_mib: Images of a folder are pickled if they take no more than so many MiB.
        resume: Whether `load_checkpoint` looks for a checkpoint.
        cluster: A `distribution.Cluster`.
    """

    dataset: Path
    model: Path
    vis: Path
    plot: Path
    inputs: tuple
    max_pickle_mib: int
    resume: bool
    cluster: Cluster

    @classmethod
    def from_args(cls, args, cluster):
        """The files that the arguments of `train_unsupervised_autoencoder.py` name."""
        return cls(
            Path(args.dataset),
            Path(args.model),
            Path(args.vis),
            Path(args.plot),
            inputs=tuple(
                path
                for path in (args.source, args.backbone_weights)
                if path is not None and path not in sources.SOURCES
            ),
            max_pickle_mib=args.max_pickle_mib,
            resume=args.resume,
            cluster=cluster,
        )

    @property
    def manifest(self):
        """Path of the names and labels of the images."""
        return dataset_files.manifest_path(self.dataset)

    @property
    def settings(self):
        """Path of all that is known about the model, as JSON."""
        return model_files.settings_path(self.model)

    @property
    def references(self):
        """Path of what the scores know about normal images."""
        return model_files.reference_path(self.model)

    @property
    def checkpoint(self):
        """Path of the checkpoint."""
        return checkpoint.checkpoint_path(self.model)

    def check_writable(self):
        """Make sure, before the long work, that all files can be written, and over no input.

        Raises:
            InputError: As `atomic.check_writable` does.
        """
        if self.cluster.is_chief:
            images = self.dataset, self.manifest
            model = self.model, self.settings, self.references, self.checkpoint
            check_writable(*images, *model, self.vis, self.plot, inputs=self.inputs)

    def is_pickled(self, images):
        """Whether images go into a pickle: all that are in memory, and not too large a folder."""
        small = dataset_files.size_in_mib(images) <= self.max_pickle_mib
        return small or isinstance(images, np.ndarray)

    def load_into_memory(self, dataset):
        """Read the files of a dataset that is pickled at once, so that each is read only once.

        Of several workers each reads its own slice of a batch, when it is needed.
        """
        if self.cluster.workers > 1 or not self.is_pickled(dataset.images):
            return dataset
        return dataclasses.replace(dataset, images=load_into_memory(dataset.images))

    def load_checkpoint(self, settings):
        """Load the checkpoint if the run is to resume: see `checkpoint.load_checkpoint`."""
        if not self.resume:
            return None
        state = checkpoint.load_checkpoint(self.checkpoint, settings, self.cluster)
        if state is None:
            logger.info("no checkpoint found; starting from scratch")
        else:
            logger.info(f"resuming after epoch {len(state['loss'])}")
        return state

    def save_checkpoint(self, settings, state):
        """Save the checkpoint: see `checkpoint.save_checkpoint`."""
        checkpoint.save_checkpoint(self.checkpoint, settings, state)

    def save(self, dataset, result, references, about, pictures):
        """Write all files at once, or none. The checkpoint of a complete training is removed.

        Args:
            dataset: The `Dataset` that was trained on.
            result: The `TrainingResult`.
            references: What the scores know about normal images, as `calibrate` returns it.
            about: All that is known about the model: a dict for JSON.
            pictures: Two uint8 arrays `(H, W, 3)`: reconstructions, and loss curves.

        Raises:
            InputError: If a file can't be written.
        """
        with Transaction() as transaction:
            # First of all, what must never lie beside files that it doesn't belong to.
            transaction.remove(self.manifest, self.settings, self.references)
            if self.is_pickled(dataset.images):
                images = load_into_memory(dataset.images)
                dataset_files.save_images(transaction.stage(self.dataset), images)
            else:
                logger.info(f"too large for a pickle: {self.manifest} alone stands for the images")
                transaction.remove(self.dataset)
            manifest = transaction.stage(self.manifest)
            dataset_files.save_manifest(manifest, dataset.names, dataset.labels)
            for path, picture in zip((self.vis, self.plot), pictures, strict=True):
                drawing.save_picture(transaction.stage(path), picture)
            model_files.save_model(transaction.stage(self.model, ".tmp.keras"), result.autoencoder)
            model_files.save_references(transaction.stage(self.references), references)
            files.save_json(transaction.stage(self.settings), about)
            if not result.history.interrupted:
                transaction.remove(self.checkpoint)
        logger.info(f"wrote {self.dataset}, {self.model}, {self.vis} and {self.plot}")
        if result.history.interrupted:
            logger.warning(
                "interrupted; saved the model of the last complete epoch (continue with --resume)"
            )


def describe(dataset, result, source, fingerprint):
    """All that decided what a training has led to, and how it went.

    Args:
        dataset: The `Dataset` that was trained on.
        result: The `TrainingResult`.
        source: The `Source` of the images.
        fingerprint: Of the images, as `dataset_files.fingerprint` returns it.

    Returns:
        A dict for JSON.
    """
    files_read = source.images if isinstance(source.images, ImageFiles) else None
    return {
        "recommended_score": recommended_score(result.recipe),
        "recipe": {**result.recipe.as_dict(), "epochs": len(result.history.loss)},
        "source": source.name,
        "skipped": list(source.skipped),
        "preprocessing": files_read and files_read.preprocessing,
        "trained_on": files_read and files_read.facts,
        "n_images": len(dataset.images),
        "image_shape": dataset.images.shape[1:],
        "fingerprint": fingerprint,
        "names": dataset_files.names_digest(dataset.names) if files_read else None,
        "versions": model_files.versions(),
        "training": result.history.as_dict(),
    }
