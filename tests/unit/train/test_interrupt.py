import signal
import threading
from collections.abc import Iterator

import pytest

from mnemon.train.interrupt import Interrupt


@pytest.fixture
def handled() -> Iterator[None]:
    """Ctrl-C as in a terminal: a process started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handled")
def test_the_first_ctrl_c_is_noted_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        assert not interrupt.asked
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    found: list[object] = []

    def use() -> None:
        with Interrupt() as interrupt:
            found.extend([interrupt.asked, signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [False, before]


@pytest.mark.usefixtures("handled")
def test_sigterm_is_noted_like_ctrl_c_and_one_of_each_is_not_a_second() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.asked
    assert signal.getsignal(signal.SIGTERM) is before
