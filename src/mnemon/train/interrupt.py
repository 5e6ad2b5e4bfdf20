import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupt:
    """Puts Ctrl-C and SIGTERM off until the step is done: `asked` says that one came. A second Ctrl-C stops at once.

    What starts several ranks hands Ctrl-C on as either of the two, or as both: so only the second of a kind counts.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        # Only the main thread may set a handler, and only it is interrupted by a signal.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._before[number])
