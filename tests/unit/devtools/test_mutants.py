"""How mutants are made, and that the list of equivalent ones belongs to the code as it is."""

from pathlib import Path

import pytest

from devtools import ROOT
from devtools.mutants import equivalent
from devtools.mutants.mutations import mutants
from devtools.mutants.rooms import ROOMS

FILE = Path("rules.py")


def changes(source: str) -> set[tuple[str, str]]:
    return {(mutant.before, mutant.after) for mutant in mutants(FILE, source)}


def test_a_condition_is_shifted_and_negated() -> None:
    assert changes("if a < b:\n    pass\n") == {
        ("if a < b:", "if a <= b:"),
        ("if a < b:", "if not (a < b):"),
    }


def test_fields_of_a_dataclass_are_mutated_with_their_place() -> None:
    source = "@dataclass(frozen=True)\nclass Limits:\n    cpu: float | None = 90\n"
    made = mutants(FILE, source)
    assert {mutant.where for mutant in made} == {"Limits"}
    assert ("cpu: float | None = 90", "cpu: float | None = 91") in changes(source)
    assert {mutant.line for mutant in made} == {3}


@pytest.mark.parametrize(
    "source",
    [
        "import os\n",
        '''"""A module."""\n''',
        "@cache\ndef f(x: int | None): ...\n",
        "assert x > 1\n",
        "len(x > 1)\n",
    ],
)
def test_what_no_test_of_behaviour_can_notice_is_not_mutated(source: str) -> None:
    assert changes(source) == set()


def test_the_wording_of_a_sentence_is_not_mutated() -> None:
    assert changes("x = f('A sentence.')\n") == {
        ("x = f('A sentence.')", "x = None"),
        ("x = f('A sentence.')", "x = f(None)"),
    }


def test_each_mutant_is_another_text_that_python_can_parse() -> None:
    path = ROOT / "jobqueue/phase.py"
    texts = [mutant.source for mutant in mutants(FILE, path.read_text(encoding="utf-8"))]
    assert len(texts) == len(set(texts)) > 10
    for text in texts:
        compile(text, "phase.py", "exec")


def test_every_room_has_code_and_tests() -> None:
    for room in ROOMS.values():
        assert room.files
        assert all((ROOT / test).exists() for test in room.tests)


def test_every_equivalent_mutant_is_of_a_line_that_exists() -> None:
    for file, _, before, _ in equivalent.load():
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        assert before in " ".join(line.strip() for line in lines)


def test_an_entry_without_a_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "equivalent.yaml"
    mutant = mutants(FILE, "x = 1\n")[0]
    path.write_text(equivalent.entry(mutant), encoding="utf-8")
    with pytest.raises(ValueError, match="reason"):
        equivalent.load(path)
