"""Tests of pyimagesearch.torture."""
