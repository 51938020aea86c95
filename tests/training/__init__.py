"""Tests of pyimagesearch.training."""
