"""What small changes a few lines give, and that each stands exactly where it should."""

import ast
from textwrap import dedent

import pytest

from benchmarks.mutants import Mutant, mutants_of
from benchmarks.mutation import ROOMS, ROOT, Baseline, drawn


def changes(source: str) -> list[str]:
    """Return what each mutant of a snippet replaces, as "before → after"."""
    return [f"{mutant.before} → {mutant.after}" for mutant in mutants_of(dedent(source).strip().encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["< → <="]),
        ("a >= b", [">= → >"]),
        ("a == b != c", ["== → !=", "!= → =="]),
        ("a in b", ["in → not in"]),
        ("a  not  in b", ["not  in → in"]),
        ("a is b", ["is → is not"]),
        ("a is not b", ["is not → is"]),
        ("(a) + (b)", ["+ → -"]),
        ("a // b", ["// → /"]),
        ("a ** b", ["** → *"]),
        ("a | b", []),
        ("a -= b", ["- → +"]),
        ("a and b and c", ["and → or", "and → or"]),
        ("not a", ["not a → (a)"]),
        ("a = True", ["True → False"]),
        ("a = 0", ["0 → 1"]),
        ("a = 1", ["1 → 0"]),
        ("a = 7", ["7 → 8"]),
        ("a = 0.5", ["0.5 → 1.5"]),
        ("a = 'b'", ["'b' → 'XXbXX'"]),
        ("a = b'b'", ["b'b' → b'XXbXX'"]),
        ("a = None", []),
        ("a = min(b, c)", ["min → max"]),
        ("a = b.max(c)", []),
        ("a.append(b)", ["a.append(b) → pass"]),
    ],
)
def test_a_line_gives_these_mutants(source: str, expected: list[str]) -> None:
    assert changes(source) == expected


def test_a_function_gives_its_defaults_its_calls_and_its_return() -> None:
    source = '''
        def add(a: int, b: int = 2, *, twice: bool = False) -> int:
            """Return 1 sum."""
            note(a)
            return a + b
    '''
    assert changes(source) == [
        "2 → 3",
        "False → True",
        "note(a) → pass",
        "a + b → None",
        "+ → -",
    ]


def test_a_guard_can_be_left_out_but_not_its_message_changed() -> None:
    source = """
        if a < 1:
            raise ConfigError("a", a, f"must be {b} or more" + "!")
    """
    assert changes(source) == ["a < 1 → False", "< → <=", "1 → 0", "+ → -"]


def test_what_nobody_runs_or_only_reads_is_left_alone() -> None:
    source = '''
        """Docstring."""
        from typing import TYPE_CHECKING, Literal
        if TYPE_CHECKING:
            limit = 1
        __all__ = ["add"]
        Kind = Literal["one", "two"]
        Number = TypeVar("Number", bound=int)

        @dataclass(frozen=True)
        class Pair:
            """Docstring."""

            first: Float[Tensor, "batch 8"]
            """Docstring."""
            second: "Pair | None" = cast("Pair", None)

            def add(self, other: "Pair") -> "Pair":
                assert other != 1, "never"
                self.logger.info("added")
                return None
    '''
    assert changes(source) == []


def test_a_change_replaces_exactly_what_it_says_also_after_letters_of_several_bytes() -> None:
    source = "a = 'é' + b  # 1 + 1\nc = (\n    'ü'\n    < d\n)\n".encode()
    mutants = mutants_of(source)
    assert [(mutant.kind, mutant.line) for mutant in mutants] == [
        ("constant", 1),
        ("arithmetic", 1),
        ("constant", 3),
        ("comparison", 4),
    ]
    assert mutants[1].applied(source).decode().splitlines()[0] == "a = 'é' - b  # 1 + 1"
    assert mutants[3].applied(source).decode().splitlines()[3] == "    <= d"
    for mutant in mutants:
        ast.parse(mutant.applied(source))


def test_the_mirror_comes_first_then_the_quick_ones_and_the_service_last() -> None:
    seconds = {
        "tests/bitlm/test_gate.py::a": 9.0,
        "tests/bitlm/test_gate.py::b": 2.0,
        "tests/bitlm/test_safety.py::c": 0.1,
        "tests/bitlm/test_safety.py::d": 5.0,
        "tests/app/test_gate.py::e": 0.2,
    }
    outside = frozenset({"tests/app/test_gate.py::e"})
    seen = {("bitlm/gate.py", 7): set(seconds) - outside - {"tests/bitlm/test_safety.py::d"}}
    baseline = Baseline(seconds, seen, outside)

    def order(line: int) -> list[str]:
        mutant = Mutant("constant", line, line, start=0, end=1, before="0", after="1")
        return [name.rpartition("::")[2] for name in baseline.tests_for("bitlm/gate.py", mutant)]

    assert order(7) == ["b", "a", "c", "e"]
    assert order(8) == ["b", "a", "c", "d", "e"], "nobody was seen to run it"


def test_a_seed_draws_the_same_mutants_again_and_another_seed_others() -> None:
    first, again, other = (drawn(ROOT, "bits", 10, seed) for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 10
    assert {path for path, _ in first} == set(ROOMS["bits"].sources)
