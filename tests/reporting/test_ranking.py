import os
import tracemalloc

import numpy as np

from pyimagesearch.data.arrays import Lazy, Numbers
from pyimagesearch.reporting.ranking import Ranking, stage_tables
from pyimagesearch.storage import atomic, files


def ranking_of(*names):
    """Images of these names, the highest score first."""
    n = len(names)
    scores = np.linspace(2, 1, n).astype(np.float32) / np.float32(3)
    return Ranking(np.arange(n)[::-1], list(names), scores, np.full(n, -1), {"note": list(names)})


def test_table_is_read_back_whatever_the_names_and_the_order_of_the_rows(tmp_path):
    names = ['a,"b".png', "c\nd", "e\rf", "größe.png", os.fsdecode(b"\xff\xfe.png"), " g "]
    ranking = ranking_of(*names)
    header, *rows = ranking.rows(np.zeros(6, bool))
    files.save_csv(tmp_path / "anomalies.csv", header, rows[::-1])
    found = Ranking.load(tmp_path / "anomalies.csv")
    assert found.names == names
    assert found.columns == {"note": names}
    np.testing.assert_array_equal(found.scores, ranking.scores)
    np.testing.assert_array_equal(found.indices, ranking.indices)


def test_list_has_the_flagged_names_in_their_order_as_the_bytes_of_the_disk():
    ranking = ranking_of("b.png", "a.png", os.fsdecode(b"\xff.png"), "line\nbreak.png", "c.png")
    flagged = np.array([True, False, True, True, True])
    assert ranking.flagged_list(flagged) == b"b.png\n\xff.png\nc.png\n"


def test_tables_of_many_images_take_few_bytes_an_image(tmp_path, monkeypatch):
    n = 20_000
    monkeypatch.setattr(files, "MAX_TABLE_IN_MEMORY", 2**16)
    names, order = Numbers(n), np.arange(n)[::-1]
    scores = np.linspace(2, 1, n, dtype=np.float32)
    columns = {"z_score": Lazy(n, lambda i: f"{scores[i]:.4f}")}
    labels = np.full(n, -1, np.int8)
    ranking = Ranking(order, Lazy(n, lambda i: names[order[i]]), scores, labels, columns)
    tracemalloc.start()
    with atomic.Transaction() as transaction:
        stage_tables(transaction, tmp_path, ranking, np.zeros(n, bool), {})
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert used < 50 * n
    last = (tmp_path / "anomalies.csv").read_text().splitlines()[-1]
    assert last == f"{n},0,0,1,0,-1,1.0000"

    tracemalloc.start()
    found = Ranking.load(tmp_path / "anomalies.csv")
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.indices[-1] == 0
    # Copies of the text, a name and a text of each image, and numbers of few bytes.
    assert used < 450 * n
