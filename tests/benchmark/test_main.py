import pytest

from pyimagesearch.benchmark import __main__ as benchmark
from tests.conftest import ROOT, answers_without_packages


@pytest.mark.parametrize("table", benchmark.TABLES)
@pytest.mark.parametrize("flags", [["--help"], ["--no-such-flag"], ["--seed", "x"]])
def test_command_line_when_no_package_is_installed_answers(table, flags):
    run = "runpy.run_module('pyimagesearch.benchmark', run_name='__main__')"
    answers_without_packages(run, ["", table, *flags], f"python -m pyimagesearch.benchmark {table}")


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["cakes"],
        ["architectures", "--archs", "cathedral"],
        ["architectures", "--archs"],
        ["architectures", "--strengths", "0"],
        ["architectures", "--limit", "0"],
        ["architectures", "--seed", "-1"],
        ["architectures", "--source", "no/such.npz"],
        ["architectures", "--source", "cakes"],
        ["architectures", "--source", str(ROOT)],
        ["rotation", "--source", "digits", "--classes", "2", "12"],
        ["detection", "--protocols", "easy"],
        ["detection", "--methods", "magic"],
        ["detection", "--source", str(ROOT)],
    ],
)
def test_main_when_flags_or_sources_are_invalid_prints_one_line_and_returns_2(
    flags, tmp_path, capsys
):
    output = ["--output", str(tmp_path)] if flags else []
    assert benchmark.main([*flags, *output]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "[INFO]" not in printed.out
    assert not list(tmp_path.iterdir())
