"""Tests of pyimagesearch.data."""
