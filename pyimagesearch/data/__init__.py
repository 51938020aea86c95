"""Datasets: sources of images, labels and batches."""
