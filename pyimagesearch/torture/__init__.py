"""Trials of what the two scripts withstand, counted."""
