"""Networks: autoencoders, pretrained backbones, and the normalization of images around them."""
