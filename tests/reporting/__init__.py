"""Tests of pyimagesearch.reporting."""
