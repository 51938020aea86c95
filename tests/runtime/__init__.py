"""Tests of pyimagesearch.runtime."""
