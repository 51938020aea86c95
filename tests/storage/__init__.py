"""Tests of pyimagesearch.storage."""
