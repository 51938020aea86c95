"""Tests of pyimagesearch.export."""
