from mnemon.data.near import line_runs, straddling

STORY = [f"line {k} of a story, unlike any other {k * k}" for k in range(40)]


def text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def out(*files: tuple[str, list[str]]) -> list[bool]:
    return straddling([text(lines) for _, lines in files], [side for side, _ in files])


OTHER = [f"something else {k}" for k in range(30)]


def test_train_gives_way_to_a_near_duplicate_that_is_held_out() -> None:
    changed = [*STORY[:10], "one line changed", *STORY[11:]]
    assert out(("train", STORY), ("train", OTHER), ("test", changed)) == [True, False, False]
    assert out(("test", changed), ("valid", STORY), ("train", OTHER)) == [False, True, False]


def test_near_duplicates_on_one_side_stay() -> None:
    for side in ("train", "valid", "test"):
        assert out((side, STORY), (side, STORY[:38]), ("train", OTHER)) == [False, False, False]


def test_a_held_out_file_that_a_large_training_file_contains_is_left_out() -> None:
    large = [*OTHER, *(f"{line}, again" for line in OTHER), *STORY[:20]]
    assert out(("train", large), ("valid", STORY[:20])) == [False, True]


def test_indentation_and_blank_lines_do_not_hide_a_copy() -> None:
    spread = [line for pair in zip(STORY, [""] * len(STORY), strict=True) for line in (f"    {pair[0]}", pair[1])]
    assert out(("train", spread), ("test", STORY)) == [True, False]


def test_less_than_half_in_common_is_no_duplicate() -> None:
    half = [*STORY[:15], *(f"{line} told otherwise" for line in STORY[15:])]
    assert out(("train", half), ("test", STORY)) == [False, False]


def test_the_same_lines_in_another_order_are_no_duplicate() -> None:
    for other in ([*STORY[::2], *STORY[1::2]], STORY[::-1]):
        assert out(("train", STORY), ("test", other)) == [False, False]


def test_tiny_and_empty_files_are_compared_whole() -> None:
    assert out(("train", ["a", "b"]), ("test", ["b", "a"]), ("valid", [])) == [True, False, False]
    assert out(("train", ["a", "b"]), ("test", ["c"]), ("valid", [])) == [False, False, False]
    assert len(line_runs("")) == 0
    assert out() == []
