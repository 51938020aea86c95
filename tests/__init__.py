"""The tests. This file lets a bare `pytest` find the package and the scripts beside it."""
