"""Results of a detection: pictures, tables, an interactive report."""
