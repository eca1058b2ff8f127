"""This module makes the mutants of one source file, with the mutation operators of mutmut.

Not mutated are annotations, decorators, imports, docstrings and asserts, which no test of behaviour
can notice, and the wording of sentences: no sentence is control flow.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
from mutmut.mutation.mutators import mutation_operators

_NEVER = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Assert)
_NEVER_CALLED = ("isinstance", "len", "TypeVar")


@dataclass(frozen=True)
class Mutant:
    """One changed version of a file; `before` and `after` are the changed lines, stripped."""

    file: Path
    line: int
    where: str
    before: str
    after: str
    source: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Return what identifies the mutation while other lines of the file change."""
        return str(self.file), self.where, self.before, self.after


def _negations(node: cst.If | cst.While | cst.CompIf) -> Iterator[cst.CSTNode]:
    bracketed = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), bracketed))


#: mutmut does not negate the conditions of statements.
_OPERATORS: list[tuple[Any, Callable[[Any], Iterable[cst.CSTNode]]]] = [
    *mutation_operators,
    ((cst.If, cst.While, cst.CompIf), _negations),
]


class _Collector(cst.CSTVisitor):
    """Collects (node, changed node, names of the enclosing classes and functions)."""

    def __init__(self) -> None:
        self.found: list[tuple[cst.CSTNode, cst.CSTNode, str]] = []
        self._names: list[str] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_never_mutated(node):
            return False
        where = ".".join(self._names)
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                self.found += [(node, changed, where) for changed in operator(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()


def _is_never_mutated(node: cst.CSTNode) -> bool:
    match node:
        case cst.SimpleString():
            return " " in node.value  # a sentence
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True  # a docstring
        case cst.Call(func=cst.Name(value=name)):
            return name in _NEVER_CALLED
    return isinstance(node, _NEVER)


def mutants(file: Path, source: str) -> list[Mutant]:
    """Return the mutants of `source`, which is the text of `file`, each text once."""
    module = cst.parse_module(source)
    collector = _Collector()
    module.visit(collector)
    made: dict[str, Mutant] = {}
    for node, changed, where in collector.found:
        text = cst.ensure_type(module.deep_replace(node, changed), cst.Module).code
        if text != source and text not in made:
            made[text] = _mutant(file, where, source, text)
    return list(made.values())


def _mutant(file: Path, where: str, source: str, text: str) -> Mutant:
    old = source.splitlines()
    new = text.splitlines()
    first = _common(old, new)
    last = min(_common(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    before = _joined(old[first : len(old) - last])
    after = _joined(new[first : len(new) - last])
    return Mutant(file, first + 1, where, before, after, text)


def _common(one: list[str], other: list[str]) -> int:
    """Return how many lines at the beginning are equal."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
