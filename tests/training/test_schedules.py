import numpy as np
import pytest

from pyimagesearch.training import schedules
from pyimagesearch.training.recipes import RECIPES


def test_inverse_time_schedule_is_the_decay_of_keras_2():
    schedule = schedules.SCHEDULES["inverse-time"](1e-3, steps=100, epochs=20)
    decay = 1e-3 / 20
    for step in (0, 1, 50, 3400):
        assert float(schedule(step)) == pytest.approx(1e-3 / (1 + decay * step), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 19, 20, 100])
def test_cosine_schedule_warms_up_and_ends_at_zero(steps):
    schedule = schedules.SCHEDULES["cosine"](0.01, steps=steps, epochs=1)
    rates = [float(schedule(step)) for step in range(steps + 1)]
    assert max(rates) == pytest.approx(0.01, rel=1e-6)
    assert np.argmax(rates) == max(1, steps // 20)
    assert rates[0] > 0  # no step is wasted
    assert rates[-1] == pytest.approx(0, abs=1e-8) or steps == 1


@pytest.mark.parametrize("name", RECIPES.keys() - {"photos"})  # which is fitted in closed form
def test_schedule_of_every_recipe_exists(name):
    assert RECIPES[name].schedule in schedules.SCHEDULES
