"""What is printed for people: as wide as the terminal, and as wide as it is where none reads it."""

from rich.console import Console

WIDTH_ELSEWHERE = 1000
"""Columns of a pipe or file, where nothing is to be squeezed or broken."""


def text_console(*, stderr: bool = False) -> Console:
    """Return a console that prints words as they are, without markup or colours of its own."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH_ELSEWHERE
    return console
