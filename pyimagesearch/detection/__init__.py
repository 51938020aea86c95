"""From score to threshold to metrics."""
