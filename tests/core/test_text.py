import pytest

from core.text import duration, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0421, "0.042 s"),
        (1.5, "1.50 s"),
        (90, "90.0 s"),
        (119, "119 s"),
        (150, "2.50 min"),
        (47000, "13.1 h"),
        (1e6, "11.6 days"),
        (1e9, "11,574 days"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_table_aligns_and_drops_empty_columns():
    assert table([["a", "bb", "c"], ["1", "", "22"], ["333", "", "4"]]) == "a    c\n1    22\n333  4"
