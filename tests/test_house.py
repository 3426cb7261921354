"""The rules of the house: which way imports point, what `import rolecore` loads, one version, one list of names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import rolecore
from rolecore import _core

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "rolecore"
MODULES = sorted(PACKAGE.rglob("*.py"))


def read_toml(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def imports_at_run_time(path: Path) -> list[str]:
    """Return the dotted names a file imports, also by `import_module`, leaving out `if TYPE_CHECKING:` blocks."""
    names: list[str] = []
    parents = ["rolecore", *path.relative_to(PACKAGE).parts[:-1]]

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.orelse:
                walk(statement)
            return
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [*parents[: len(parents) - node.level + 1]] if node.level else []
            base += [node.module] if node.module else []
            names.extend(".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names.extend(str(name.value) for name in node.args if isinstance(name, ast.Constant))
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return names


def modules_loaded_by(statement: str) -> set[str]:
    """Return what a fresh interpreter loads for `statement`, beyond what it starts with."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def test_core_crate_depends_on_no_python() -> None:
    locked = {package["name"]: package for package in read_toml("Cargo.lock")["package"]}
    reached: set[str] = set()
    ahead = ["rolecore-core"]
    while ahead:
        name = ahead.pop().split()[0]
        if name not in reached:
            reached.add(name)
            ahead.extend(locked[name].get("dependencies", []))
    assert not {name for name in reached if "pyo3" in name or name in {"numpy", "rolecore-py"}}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name in {"errors.py", "types.py"}], ids=lambda p: p.name
)
def test_base_module_imports_nothing_of_ours(path: Path) -> None:
    assert [found for found in imports_at_run_time(path) if found.split(".")[0] == "rolecore"] == []


def test_binding_names_no_python_module_but_errors() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "rust" / "py" / "src").rglob("*.rs")]
    imported = re.compile(r'(?:import_exception!\(|import\(")rolecore\.?(\w*)')
    named = {name for source in sources for name in imported.findall(source)}
    assert named <= {"errors", "_core"}


def test_core_alone_loads_only_errors_of_ours() -> None:
    ours = {name for name in modules_loaded_by("import rolecore._core") if name.split(".")[0] == "rolecore"}
    assert ours <= {"rolecore", "rolecore._core", "rolecore.errors"}


def test_third_party_package_is_imported_in_one_file() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        for name in imports_at_run_time(path):
            package = name.split(".")[0]
            # numpy comes with every install and goes wherever arrays do.
            if package not in sys.stdlib_module_names and package not in {"rolecore", "numpy"}:
                homes[package].add(str(path.relative_to(PACKAGE)))
    assert {package: files for package, files in homes.items() if len(files) > 1} == {}


def test_extras_are_tested_as_they_are_declared() -> None:
    project = read_toml("pyproject.toml")
    extras = project["project"]["optional-dependencies"]
    assert set(project["dependency-groups"]["extras"]) == {*extras["faiss"], *extras["onnx"]}
    assert set(project["dependency-groups"]["servers"]) == {*extras["postgres"], *extras["redis"]}


def test_import_loads_neither_third_party_nor_core() -> None:
    loaded = modules_loaded_by("import rolecore")
    foreign = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"rolecore"}


def test_version_is_the_workspaces() -> None:
    version = read_toml("Cargo.toml")["workspace"]["package"]["version"]
    assert rolecore.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", rolecore.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(rolecore, name) is not None


def test_build_info_says_how_it_was_built() -> None:
    info = _core.build_info()
    assert set(info) == {"version", "profile", "simd"}
    assert info["version"] == rolecore.__version__
    assert info["profile"] in {"release", "dist"}
    assert info["simd"] in {"avx512", "avx2", "neon", "scalar"}
