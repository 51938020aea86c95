import pytest

from pyimagesearch.data import named_files
from pyimagesearch.data.image_folders import Reading
from tests.data.conftest import draw


@pytest.mark.parametrize(
    ("n", "others"), [(1, r"\(not an image\)$"), (3, r"\(not an image\), and 2 more$")]
)
def test_files_that_are_passed_over_in_a_folder_are_named_and_counted(tmp_path, n, others):
    draw(tmp_path / "a.png", 10)
    for number in range(n):
        (tmp_path / f"b{number}.png").write_text("text")
    with pytest.warns(UserWarning, match=rf"passed over .*b0\.png {others}"):
        source = named_files.open_files([str(tmp_path)], Reading())
    assert source.names == [str(tmp_path / "a.png")]
