import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnemon.report.labels import label_width, spread

UNIT = st.floats(0, 1, allow_nan=False)


def test_width_is_that_of_the_widest_line():
    assert label_width(["short\na longer line", "x"]) == label_width(["a longer line"]) > label_width(["short"])


def test_labels_with_room_stay_where_they_are():
    assert spread([0.9, 0.1, 0.5], gap=0.2, lowest=0.05) == [0.9, 0.1, 0.5]


def test_labels_that_touch_move_apart_by_the_same_distance():
    assert spread([0.5, 0.5], gap=0.2, lowest=0.0) == pytest.approx([0.4, 0.6])


def test_label_below_the_axes_moves_up_and_pushes_the_next():
    assert spread([0.0, 0.1], gap=0.2, lowest=0.1) == pytest.approx([0.1, 0.3])


@given(st.lists(UNIT, max_size=9), st.floats(0.01, 0.3))
def test_labels_keep_order_and_distance(wanted, gap):
    places = spread(wanted, gap, lowest=0.05)
    order = sorted(range(len(wanted)), key=lambda number: (wanted[number], number))
    stood = [places[number] for number in order]
    assert all(above - below >= gap - 1e-9 for below, above in itertools.pairwise(stood))
    assert all(place >= 0.05 - 1e-9 for place in places)
