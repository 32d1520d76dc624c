"""Ctrl-C as a wish to stop, which is granted between two steps."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

Item = TypeVar("Item")


@dataclass
class CtrlC:
    """Whether it was pressed."""

    was_pressed: bool = False

    def until_pressed(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, up to the one during which it was pressed."""
        for item in items:
            yield item
            if self.was_pressed:
                return


@contextmanager
def noted_ctrl_c() -> Iterator[CtrlC]:
    """Note the first Ctrl-C instead of raising; the next one ends the program as it always does.

    An exception in the middle of a step would leave a model half updated, and be lost where Python cannot
    raise one. Only for the main thread.
    """
    ctrl_c = CtrlC()

    def note(_number: int, _frame: FrameType | None) -> None:
        ctrl_c.was_pressed = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield ctrl_c
    finally:
        signal.signal(signal.SIGINT, before)
