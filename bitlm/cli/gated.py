"""A sample with its verdict, printed or as JSON."""

import sys
from typing import Any

from rich.console import Console

from bitlm.cli.printing import text_console
from bitlm.gate import GateVerdict
from bitlm.safety import GatedSample


def record_of(answer: GatedSample) -> dict[str, Any]:
    """Return a sample with its verdict as JSON has it."""
    verdict = answer.verdict
    return {
        "text": answer.sample.text,
        "bits": answer.sample.bits.tolist(),
        "gate": {
            "passed": verdict.passed,
            "attempts": len(answer.attempts),
            "K": verdict.K,
            "C": verdict.C,
            "S": verdict.S,
            "repetition": verdict.repetition,
            "reasons": list(verdict.reasons),
            "stopped_at": verdict.stopped_at,
        },
    }


def print_gated(prompt: str, answer: GatedSample, heading: str = "", *, suffix: str = "") -> None:
    """Print a sample between what was given, under a heading if there is one, and its verdict."""
    console = Console(highlight=False, markup=False)
    if heading:
        console.print(f"── {heading} ──", style="dim")
    print_text(console, prompt, answer.sample.text, suffix + "\n")
    count = len(answer.attempts)
    print_verdict(answer.verdict, f"{count} attempt{'s' if count != 1 else ''}")


def print_text(console: Console, prompt: str, text: str, rest: str = "") -> None:
    """Print a sample as it is; only where people read it what was given before and after is set off."""
    for part, is_given in ((prompt, True), (text, False), (rest, True)):
        if is_given and console.is_terminal:
            console.print(part, style="dim", end="", soft_wrap=True)
        else:
            sys.stdout.write(part)
    sys.stdout.flush()


def print_verdict(verdict: GateVerdict, of_what: str) -> None:
    """Print what the gate says to the error stream."""
    word = "passed" if verdict.passed else "NOT passed: " + "; ".join(verdict.reasons)
    figures = f"K {verdict.K:.2f}  C {verdict.C:.2f}  S {verdict.S:.2f}"
    text_console(stderr=True).print(f"gate {word}  ({figures}, {of_what})")
