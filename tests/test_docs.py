"""Every Python block of the README and of docs/, and every docstring's example, runs and does what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import rolecore
from rolecore import _core

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOUND = pkgutil.walk_packages(rolecore.__path__, "rolecore.")
MODULES = ["rolecore", *(module.name for module in FOUND if module.name != "rolecore.__main__")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
        line = page.read_text(encoding="utf-8")[: block.start(1)].count("\n")
        # Blank lines in front, so that an error names the page's own line.
        exec(compile("\n" * line + block[1], str(page), "exec"), namespace)  # noqa: S102  the project's own pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_every_public_name_stands_on_a_page() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in rolecore.__all__ if name != "__version__" and not re.search(rf"\b{name}\b", pages)] == []


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    module = importlib.import_module(name)
    found = doctest.DocTestFinder(exclude_empty=True).find(module, name, globs={"rolecore": rolecore})
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in found + (core_examples() if module is _core else []):
        runner.run(test)
    assert runner.failures == 0


def core_examples() -> list[doctest.DocTest]:
    """Examples of the compiled classes and functions, which doctest's finder does not look into."""
    things = list(vars(_core).items())
    things += [item for thing in vars(_core).values() if isinstance(thing, type) for item in vars(thing).items()]
    texts = [(name, getattr(thing, "__doc__", None)) for name, thing in things]
    parser = doctest.DocTestParser()
    return [
        parser.get_doctest(text, {"rolecore": rolecore}, name, None, 0)
        for name, text in texts
        if isinstance(text, str) and ">>>" in text
    ]
