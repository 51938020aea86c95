"""Features of all training images, computed once, standardized, and read in batches."""

import math

import numpy as np
import tensorflow as tf

from pyimagesearch.data.batches import iterate_batches, subsample
from pyimagesearch.detection import scoring
from pyimagesearch.detection.feature_scores import mean_features
from pyimagesearch.detection.image_quality import N_NUMBERS, sharpness_and_exposure
from pyimagesearch.models.feature_autoencoder import MAX_CHANNELS, network_size

# Images that determine the scale of the channels, at most.
MAX_SCALE_IMAGES = 400
# Images of a batch of features, and bytes of standardized features that are kept, at most: of more
# images they are made again whenever they are read.
BATCH_SIZE, MAX_KEPT_BYTES = 128, 2**28


class ImageFeatures:
    """The features of the images that are trained on. Each worker of a cluster keeps its own part.

    Args:
        images: float32 array `(N, H, W, C)` in [0, 1], or anything that `iterate_batches` takes.
        order: int array `(n,)`: which of them.
        extractor: What `feature_autoencoder.extractor` returns, built within the scope of the
            cluster's strategy.
        store: Function from a number of images and the shapes of the maps of one to a
            `feature_store.FeatureStore`.
        seed: Of the choice of the images that determine the scale.
        cluster: A `distribution.Cluster`.
        on_batch: Called after each batch as `on_batch(done, total)`.

    Attributes:
        n: The number of images.
        local: int array: which of the n this worker keeps.
        shapes: The shapes `(h, w, C)` of the standardized features of the four stages.
        scale: Four pairs of float32 arrays, `(C', C)` and `(C,)`: what standardizes the maps of the
            backbone; wide stages are projected to principal components.
        embedding: float32 array `(n, E)`, in every worker.
        quality: float32 array `(n, 7)`, likewise.
        means: float32 array `(n, C)`: `feature_scores.mean_features`, likewise.
    """

    def __init__(self, images, order, extractor, store, seed, cluster, on_batch=None):
        self.n, self.cluster = len(order), cluster
        self.local = np.arange(self.n)[cluster.local_slice(self.n)]
        *maps, embedding = extractor.outputs
        raw_shapes = [tuple(x.shape[1:]) for x in maps]
        self.shapes = [
            (*shape[:2], min(shape[2], most))
            for shape, most in zip(raw_shapes, MAX_CHANNELS, strict=True)
        ]
        self._store = store(len(self.local), raw_shapes)
        whole = np.zeros((self.n, embedding.shape[-1] + N_NUMBERS), np.float32)
        self._extract(images, order, extractor, whole, on_batch)
        whole = cluster.all_reduce_sum(whole)
        self.embedding, self.quality = np.split(whole, [embedding.shape[-1]], axis=1)
        self._fit_scale(raw_shapes, seed)
        self._kept = None
        if 4 * len(self.local) * sum(map(math.prod, self.shapes)) <= MAX_KEPT_BYTES:
            self._kept = list(self.batches())
        self.means = self.gather(mean_features, (self.shapes[2][2] + self.shapes[3][2],))

    def _extract(self, images, order, extractor, whole, on_batch):
        """Run the backbone over this worker's images, and describe each as a whole."""
        size = network_size(images.shape[1:3])

        def rows(batch):
            outputs = [tf.cast(x, tf.float32) for x in extractor(batch, training=False)]
            flat = [tf.reshape(x, (-1, math.prod(x.shape[1:]))) for x in outputs]
            return (tf.concat([*flat, sharpness_and_exposure(tf.image.resize(batch, size))], 1),)

        batch_size = scoring.batch_size_for(extractor, self.cluster)
        run = scoring.compile_scorer(rows, images.shape[1:], batch_size, self.cluster)
        order = order[self.local]
        batches = (batch for _, batch in iterate_batches(images, order, batch_size))
        done = 0
        for out in scoring.map_on_threads(run, batches, scoring.threads_for(self.cluster)):
            n_numbers = out.shape[1] - whole.shape[1]
            self._store.write(done, out[:, :n_numbers])
            whole[self.local[done : done + len(out)]] = out[:, n_numbers:]
            done += len(out)
            if on_batch is not None:
                on_batch(done, len(order))

    def _fit_scale(self, raw_shapes, seed):
        """Find what standardizes the channels of each stage."""
        chosen = np.isin(self.local, subsample(np.arange(self.n), seed, MAX_SCALE_IMAGES))
        moments = [[np.zeros(1), np.zeros(c), np.zeros((c, c))] for *_, c in raw_shapes]
        for start in range(0, len(self.local), BATCH_SIZE):
            rows = np.flatnonzero(chosen[start : start + BATCH_SIZE])
            if not len(rows):
                continue
            for moment, maps in zip(moments, self._store.read(start, BATCH_SIZE), strict=True):
                x = maps[rows].reshape(-1, maps.shape[-1])
                parts = len(x), x.sum(0), tf.matmul(x, x, transpose_a=True).numpy()
                for total, part in zip(moment, parts, strict=True):
                    total += part
        self.scale = []
        for moment, most in zip(moments, MAX_CHANNELS, strict=True):
            count, total, products = map(self.cluster.all_reduce_sum, moment)
            mean = total / count
            covariance = products / count - np.outer(mean, mean)
            kernel = np.diag(1 / (np.sqrt(np.maximum(np.diag(covariance), 0)) + 1e-3))
            if len(mean) > most:
                values, vectors = np.linalg.eigh(kernel @ covariance @ kernel)
                kernel = kernel @ vectors[:, -most:] / np.sqrt(values[-most:] + 1e-3)
            self.scale.append((kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)))

    def batches(self):
        """Go through this worker's images.

        Yields:
            Pairs of the places of some images among the n, an int array `(B,)`, and their
            standardized features: four float32 tensors `(B, h, w, C)`.
        """
        if self._kept is not None:
            yield from self._kept
            return
        for start in range(0, len(self.local), BATCH_SIZE):
            maps = self._store.read(start, BATCH_SIZE)
            features = []
            for x, (kernel, bias) in zip(maps, self.scale, strict=True):
                # The kernel of a stage that is not projected is diagonal.
                wide = kernel.shape[0] > kernel.shape[1]
                x = tf.tensordot(x, kernel, 1) if wide else tf.constant(x * np.diag(kernel))
                features.append(x + bias)
            yield self.local[start : start + BATCH_SIZE], features

    def gather(self, function, shape, chosen=None):
        """Apply a function to the features of images of all workers.

        Args:
            function: Function from four float32 tensors `(B, h, w, C)` to one or an array,
                `(B, *shape)`, each image by itself.
            shape: That shape.
            chosen: int array `(m,)`, ascending: which of the n images; all unless given.

        Returns:
            float32 array `(m, *shape)`, in every worker.
        """
        chosen = np.arange(self.n) if chosen is None else chosen
        result = np.zeros((len(chosen), *shape), np.float32)
        for indices, features in self.batches():
            rows = np.flatnonzero(np.isin(indices, chosen))
            if len(rows):
                place = np.searchsorted(chosen, indices[rows])
                result[place] = np.asarray(function(features))[rows]
        return self.cluster.all_reduce_sum(result)
