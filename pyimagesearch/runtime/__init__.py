"""Devices, workers, and the peace of the terminal."""
