"""Networks: autoencoders, and the normalization of images around them."""
