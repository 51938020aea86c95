"""What a person types, and how they are answered."""
