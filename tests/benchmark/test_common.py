from pyimagesearch.benchmark import common


def test_load_train_and_test_when_digits_halves_them():
    train, test = common.load_train_and_test("digits", seed=42)
    assert len(train.images) == len(train.classes) == len(train.names) == 899
    assert len(test.images) == 898
    assert not set(train.names) & set(test.names)
