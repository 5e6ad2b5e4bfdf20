from scripts import told


def test_every_rank_of_a_job_that_is_done_leaves() -> None:
    assert told("ends.py", 12) == 12
