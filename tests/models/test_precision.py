import numpy as np
import pytest

from pyimagesearch.models import architectures, precision
from pyimagesearch.training.recipes import make_recipe


@pytest.mark.parametrize(("in_bf16", "warns"), [(0.9, False), (1.0, True), (2.0, True)])
def test_bf16_is_warned_of_where_a_batch_in_it_is_not_faster(monkeypatch, caplog, in_bf16, warns):
    seconds = {"float32": 1.0, "bfloat16": in_bf16}

    def given(network, training):
        assert training
        return seconds[network.get_layer("encoder").layers[1].compute_dtype]

    monkeypatch.setattr(precision, "seconds_of_batch", given)
    network = architectures.build(make_recipe(filters=(4,)), (8, 8, 1), seed=0)
    precision.warn_unless_faster(network, training=True)
    assert ("does not help here" in caplog.text) == warns


def test_trial_takes_time_and_leaves_the_network_as_it_was():
    network = architectures.build(make_recipe(filters=(4,), batch_norm=True), (4, 4, 1), seed=0)
    before = network.get_weights()
    precision.warn_unless_faster(network, training=True)
    assert precision.seconds_of_batch(network, training=False) > 0
    for array, kept in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(array, kept)
