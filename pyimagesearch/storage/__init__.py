"""Files, written whole or not at all and read without running what is in them."""
