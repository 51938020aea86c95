"""Tests of pyimagesearch.models."""
