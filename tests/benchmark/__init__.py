"""Tests of pyimagesearch.benchmark."""
