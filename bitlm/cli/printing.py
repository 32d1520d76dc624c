"""What is printed for people: as wide as the terminal, and as wide as it is where none reads it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

WIDTH_ELSEWHERE = 1000
"""Columns of a pipe or file, where nothing is to be squeezed or broken."""


def text_console(*, stderr: bool = False) -> Console:
    """Return a console that prints words as they are, without markup or colours of its own."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH_ELSEWHERE
    return console


@contextmanager
def bar(what: str, length: int | None) -> Iterator[Callable[..., None]]:
    """Yield what moves a bar on the error stream: by `advance`, or to `completed` of `total`.

    `length` is what there is to do, in bytes; None where that is told later.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=text_console(stderr=True)) as shown:
        task = shown.add_task(what, total=length)
        yield lambda **moved: shown.update(task, **moved)
