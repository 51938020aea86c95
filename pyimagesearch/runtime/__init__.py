"""Devices and workers, and libraries kept quiet."""
