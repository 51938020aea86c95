"""Files: atomic writing, and safe reading of models and arrays of unknown origin."""
