"""The networks: what they are made of, and how they see an image."""
