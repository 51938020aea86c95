"""Tests of pyimagesearch.cli."""
