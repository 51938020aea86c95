"""Files: atomic writing, and safe reading of models, weights and arrays of unknown origin."""
