"""Tests of pyimagesearch.detection."""
