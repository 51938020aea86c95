"""Fitting a network although some of its images are outliers."""
