from pyimagesearch.benchmark import scoring_speed
from pyimagesearch.models.architectures import build
from pyimagesearch.training.recipes import make_recipe


def test_count_operations_when_known_on_paper_is_equal():
    # 784-4-2 and back, on paper.
    network = build(make_recipe(arch="dense", filters=(4,), latent_dim=2), (28, 28, 1))
    assert scoring_speed.count_operations(network) == 2 * 2 * (784 * 4 + 4 * 2)
    # A convolution of 5 filters at 4x4 places, and back to as many channels from as many places,
    # then at 8x8 places to a single one.
    network = build(make_recipe(arch="cnn", filters=(5,), batch_norm=False), (8, 8, 1))
    assert scoring_speed.count_operations(network) == 2 * 9 * (16 * 5 + 16 * 25 + 64 * 5)
