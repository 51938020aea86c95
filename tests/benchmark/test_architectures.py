import pytest

from pyimagesearch.training.recipes import ARCHITECTURES
from tests.benchmark.tables import QUICK, make_table


@pytest.mark.slow
def test_architectures_when_made_has_a_row_for_each_network_and_noise(tmp_path, capsys):
    rows = make_table("architectures", tmp_path, *QUICK, "--strengths", "0.2", "0.4")
    assert [(row["architecture"], row["noise"]) for row in rows] == [
        (arch, noise) for arch in ARCHITECTURES for noise in ("0.2", "0.4")
    ]
    # What is printed is what is saved.
    printed = [line.split() for line in capsys.readouterr().out.splitlines()[-len(rows) - 1 :]]
    assert printed == [list(rows[0]), *(list(row.values()) for row in rows)]


@pytest.mark.slow
def test_architectures_when_the_noise_is_stronger_has_a_higher_error_and_auroc(tmp_path):
    rows = make_table(
        "architectures", tmp_path, *QUICK, "--archs", "dense", "--strengths", "0.2", "0.4", "0.6"
    )
    for column in ("noisy", "ratio", "auroc"):
        values = [float(row[column]) for row in rows]
        assert values == sorted(values), column
    assert len({row["normal"] for row in rows}) == 1
    assert float(rows[-1]["auroc"]) > 0.95


@pytest.mark.slow
def test_architectures_when_the_seed_is_equal_is_equal(tmp_path):
    flags = ["--archs", "dense", "--strengths", "0.3"]
    first, second = (make_table("architectures", tmp_path, *QUICK, *flags) for _ in range(2))
    for row in first + second:
        del row["seconds"]
    assert first == second


@pytest.mark.slow
def test_architectures_when_cnn_on_mnist_separates_noise(mnist, tmp_path):
    """A quality floor: the ratio that an earlier project reached with 60,000 images."""
    flags = ["--source", mnist, "--limit", "4000", "--archs", "cnn", "--strengths", "0.3"]
    (row,) = make_table("architectures", tmp_path, *QUICK, *flags)
    assert float(row["ratio"]) > 3.5
    assert float(row["auroc"]) >= 0.999
