"""The small changes that can be made to a source, each with the exact text it replaces."""

import ast
import re
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: (r"not\s+in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: (r"is\s+not", "is"),
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
}
"""`|` is left out: between types it is no arithmetic."""

EXTREMES = {"min": "max", "max": "min"}
LOGS = {"debug", "info", "warning", "error", "exception", "critical", "warn"}
"""Methods that say something: their strings are messages, and whether they are called is no law."""

NAMES_OF_TYPES = {"cast", "TypeVar", "ParamSpec", "NewType", "Literal"}


@dataclass(frozen=True)
class Mutant:
    """One change of a source.

    Attributes:
        kind: What sort of change it is.
        line: Where what it replaces begins, from 1.
        last_line: Where that ends.
        start: The same place, in bytes of the source.
        end: Where it ends, in bytes.
        before: What stands there.
        after: What stands there instead.
    """

    kind: str
    line: int
    last_line: int
    start: int
    end: int
    before: str
    after: str

    def applied(self, source: bytes) -> bytes:
        """Return the source with this change."""
        return source[: self.start] + self.after.encode() + source[self.end :]


def mutants_of(source: bytes) -> list[Mutant]:
    """Return every mutant of a Python source, in the order of the places.

    Left as they are: docstrings, annotations, decorators, assertions, f-strings, `__all__`, what only a type
    checker reads, and messages, which are the strings of what is raised, warned of or logged.
    """
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    whole = ast.dump(ast.parse(source))
    return sorted(
        (mutant for mutant in finder.found if _differs(mutant.applied(source), whole)),
        key=lambda mutant: (mutant.start, mutant.end, mutant.kind),
    )


def _differs(source: bytes, whole: str) -> bool:
    try:
        return ast.dump(ast.parse(source)) != whole
    except SyntaxError:
        return False


class _Finder(ast.NodeVisitor):
    """Collects the mutants of a tree; what is not to be changed is not descended into."""

    def __init__(self, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._source = source
        self._line_starts = [0, *(place.end() for place in re.finditer(rb"\n", source))]
        self._in_message = False

    def _place(self, line: int, column: int) -> int:
        return self._line_starts[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)

    def _add(self, kind: str, start: int, end: int, after: str) -> None:
        line = self._source.count(b"\n", 0, start) + 1
        last = line + self._source.count(b"\n", start, end)
        before = self._source[start:end].decode()
        self.found.append(Mutant(kind, line, last, start, end, before, after))

    def _replace(self, kind: str, node: ast.expr | ast.stmt, after: str) -> None:
        self._add(kind, *self._span(node), after)

    def _replace_between(self, kind: str, start: int, end: int, pattern: str, after: str) -> None:
        """Change the operator between two operands, wherever brackets and line ends have put it."""
        found = re.search(pattern.encode(), self._source[start:end])
        if found:
            self._add(kind, start + found.start(), start + found.end(), after)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for part in (*node.args.defaults, *node.args.kw_defaults, *node.body):
            if part is not None:
                self.visit(part)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for part in node.body:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Leave it: it holds, whatever the tests say."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave it: Python 3.11 does not say where its parts stand."""

    def visit_MatchValue(self, node: ast.MatchValue) -> None:
        """Leave it: only a literal may stand there."""

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not (isinstance(node.value, ast.Name) and node.value.id in NAMES_OF_TYPES):
            self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node.body[0], ast.Raise) and not node.orelse:
            self._replace("guard", node.test, "False")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._visit_message(node)

    def _visit_message(self, node: ast.AST) -> None:
        outer, self._in_message = self._in_message, True
        self.generic_visit(node)
        self._in_message = outer

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call) and not _is_message(node.value):
            self._replace("call", node, "pass")
        self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            return
        if not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self._replace("return", node.value, "None")
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node)
        if name in NAMES_OF_TYPES:
            for part in node.args[1:]:
                self.visit(part)
        elif _is_message(node):
            self._visit_message(node)
        else:
            if isinstance(node.func, ast.Name) and name in EXTREMES:
                self._replace("extreme", node.func, EXTREMES[name])
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            pattern, after = COMPARISONS[type(operator)]
            self._replace_between("comparison", self._span(left)[1], self._span(right)[0], pattern, after)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._visit_arithmetic(node, node.left, node.op, node.right)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._visit_arithmetic(node, node.target, node.op, node.value)

    def _visit_arithmetic(
        self, node: ast.AST, left: ast.expr, operator: ast.operator, right: ast.expr
    ) -> None:
        if type(operator) in ARITHMETIC:
            before, after = ARITHMETIC[type(operator)]
            start, end = self._span(left)[1], self._span(right)[0]
            self._replace_between("arithmetic", start, end, re.escape(before), after)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        before, after = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._replace_between("logic", self._span(left)[1], self._span(right)[0], before, after)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            start, end = self._span(node.operand)
            self._replace("negation", node, f"({self._source[start:end].decode()})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        after = _other(node.value)
        if after is not None and not (self._in_message and isinstance(node.value, str)):
            self._replace("constant", node, after)


def _other(value: object) -> str | None:
    """Return a literal unlike the value; None where there is no such thing."""
    match value:
        case bool():
            return str(not value)
        case int():
            return "0" if value == 1 else str(value + 1)
        case float():
            return repr(value + 1)
        case str():
            return repr(f"XX{value}XX")
        case bytes():
            return repr(b"XX" + value + b"XX")
        case _:
            return None


def _name(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _is_message(call: ast.Call) -> bool:
    """Whether it makes an error or a warning, or says something in a log."""
    name = _name(call)
    return name.endswith(("Error", "Warning")) or (isinstance(call.func, ast.Attribute) and name in LOGS)
