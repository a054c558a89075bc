"""The catalogue of a process: the generic functions, and those that a declared half brings."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from motlan.config.functions import install_functions
from motlan.errors import ConfigurationError
from motlan.expressions import (
    DUCKDB,
    FUNCTIONS,
    SPARK,
    Function,
    Package,
    Sql,
    connect,
    fingerprint,
    install,
    installed,
    load_code_lists,
    one,
    parse,
)
from motlan.expressions.functions import parameters
from motlan.expressions.generic import GENERIC
from tests.conftest import ROOT

GREETING = Function("greeting", parameters("x"), "A greeting of somebody.", ((("Ann",), "Hello Ann"), ((None,), None)))
PACKAGE = Package(
    "a test",
    {"greeting": GREETING},
    Sql({"greeting": "motlan_hello(@1)"}, macros={"motlan_hello": "motlan_hello(x) AS 'Hello ' || x"}),
)


@pytest.fixture
def generic() -> Iterator[None]:
    install(())
    yield
    install_functions(ROOT)


@pytest.mark.slow
@pytest.mark.usefixtures("generic")
def test_every_example_of_the_generic_functions_holds_without_a_country(lists: Path) -> None:
    assert set(FUNCTIONS) == set(GENERIC.functions) == set(DUCKDB.templates) == set(SPARK.templates)
    with connect(threads=1) as con:
        load_code_lists(con, lists)
        for function in FUNCTIONS.values():
            for given, answer in function.examples:
                arguments = [DUCKDB.typed_null() if value is None else DUCKDB.literal(value) for value in given]
                assert one(con, f"select {DUCKDB.call(function.name, arguments)}") == (answer,), (function.name, given)


@pytest.mark.usefixtures("generic")
def test_a_package_brings_functions_with_their_macros_to_both_engines() -> None:
    before = fingerprint()
    with pytest.raises(ConfigurationError, match="no function greeting"):
        parse("greeting(a)")
    install([PACKAGE])
    assert fingerprint() != before
    with connect() as con:
        assert one(con, f"select {parse('greeting(a)').sql(DUCKDB)} from (select 'Ann' as a)") == ("Hello Ann",)
    assert "Hello " in parse("greeting(a)").sql(SPARK)


@pytest.mark.usefixtures("generic")
def test_a_function_of_a_name_that_is_taken_is_refused_and_nothing_is_installed() -> None:
    taken = Package("a test", {"text": FUNCTIONS["text"]}, Sql({"text": "@1"}))
    for packages in ([taken], [PACKAGE, PACKAGE]):
        with pytest.raises(ConfigurationError, match="there are two functions"):
            install(packages)
    with pytest.raises(ConfigurationError, match="greeting has no SQL"):
        install([Package("a test", {"greeting": GREETING}, Sql())])
    assert installed().packages == (GENERIC,)


@pytest.mark.usefixtures("generic")
def test_a_package_may_replace_a_generic_function_where_it_says_so() -> None:
    install([Package("a test", {"text": FUNCTIONS["text"]}, Sql({"text": "upper(@1)"}), replaces=frozenset({"text"}))])
    assert DUCKDB.call("text", ["a"]) == "upper(a)"


def test_the_registry_installs_what_the_declared_half_has(tmp_path: Path) -> None:
    """In a process of its own, for a process has one declared half."""
    (tmp_path / "mapping" / "functions").mkdir(parents=True)
    (tmp_path / "mapping" / "functions" / "helpers.py").write_text("WORD = 'shout'\n")
    (tmp_path / "mapping" / "functions" / "__init__.py").touch()
    (tmp_path / "mapping" / "functions" / "loud.py").write_text(
        "from mapping.functions.helpers import WORD\n"
        "from motlan.expressions import Function, Package, Sql\n"
        "from motlan.expressions.functions import parameters\n"
        "shout = Function(WORD, parameters('x'), 'Upper case.', ((('a',), 'A'), ((None,), None)))\n"
        "PACKAGE = Package('loud', {WORD: shout}, Sql({WORD: 'upper(@1)'}))\n"
    )
    script = (
        "import sys; from pathlib import Path; from motlan.config.functions import install_functions\n"
        "from motlan.expressions import DUCKDB, FUNCTIONS\n"
        "install_functions(Path(sys.argv[1])); print(DUCKDB.call('shout', ['a']), 'person_name' in FUNCTIONS)"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "upper(a) False"


@pytest.mark.slow
def test_files_are_linked_without_an_installation_by_the_generic_functions(tmp_path: Path) -> None:
    rows = "full_name,birth_date\n" + "".join(f"Ann Smith {n},199{n % 10}-01-0{1 + n % 9}\n" for n in range(30))
    (tmp_path / "people.csv").write_text(rows)
    script = [shutil.which("motlan", path=str(Path(sys.executable).parent)), "link", "people.csv", "--propose"]
    done = subprocess.run(
        [str(part) for part in script],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "MOTLAN_HOME": str(tmp_path)},
    )
    assert "full_name: lower(text(full_name))" in done.stdout
