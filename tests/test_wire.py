"""The schemas in fbs/ say all that a reader must know, and what was generated from them is what they say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import import_module
from inspect import getsource
from pathlib import Path
from typing import TYPE_CHECKING

import flatbuffers
import numpy as np
import pytest
from wire import cache_entry_generated as cache_entry
from wire import task_generated as task

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
SCHEMAS = sorted((ROOT / "fbs").glob("*.fbs"))
IDENTIFIER = r'^file_identifier "(\w{4})";$'
SCALARS = {"bool", "ubyte", "ushort", "uint", "long", "ulong", "float", "double"}
DECLARATION = re.compile(r"(?:///(?P<comment>.*)\n)?(?P<kind>enum|table) (?P<name>\w+)[^{]*\{(?P<body>[^}]*)\}")
FIELD = re.compile(
    r"(?:^ *///(?P<comment>.*)\n)?^ *(?P<name>\w+): (?P<type>[\w\[\]]+)(?: = (?P<default>[\w.]+))?[^;\n]*;$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Field:
    place: str
    name: str
    type: str
    default: str | None
    comment: str


@dataclass(frozen=True)
class Schema:
    path: Path
    text: str

    def one(self, pattern: str) -> str:
        found = re.findall(pattern, self.text, re.MULTILINE)
        assert len(found) == 1, f"{self.path.name}: {pattern}"
        return str(found[0])

    @property
    def root(self) -> str:
        return self.one(r"^root_type (\w+);$")

    def comments(self) -> dict[str, str]:
        """What is said of each table and enum."""
        return {found["name"]: (found["comment"] or "").strip() for found in DECLARATION.finditer(self.text)}

    def enums(self) -> set[str]:
        return {found["name"] for found in DECLARATION.finditer(self.text) if found["kind"] == "enum"}

    def tables(self) -> dict[str, list[Field]]:
        tables = {}
        for found in DECLARATION.finditer(self.text):
            if found["kind"] == "table":
                tables[found["name"]] = [
                    Field(found["name"], f["name"], f["type"], f["default"], (f["comment"] or "").strip())
                    for f in FIELD.finditer(found["body"])
                ]
                # Nothing between the braces but what was understood.
                assert re.sub(r"///.*", "", FIELD.sub("", found["body"])).strip() == "", found["name"]
        return tables

    def fields(self) -> list[Field]:
        return [field for fields in self.tables().values() for field in fields]


def read(path: Path) -> Schema:
    return Schema(path, path.read_text(encoding="utf-8"))


def generated_rust(path: Path) -> str:
    return (ROOT / "rust/core/tests/wire" / f"{path.stem}_generated.rs").read_text(encoding="utf-8")


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


each_schema = pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)


@each_schema
def test_comment_says_since_when_and_whether_it_may_be_absent(path: Path) -> None:
    schema = read(path)
    assert all(re.search(r"[^ ] Since \d+\.$", said) for said in schema.comments().values()), schema.comments()
    for field in schema.fields():
        assert re.fullmatch(r"\S.* Since \d+\.", field.comment), field
        # A number is never absent, it has a default; anything else may be, and says so.
        is_number = field.type in SCALARS | schema.enums()
        assert is_number == (field.default is not None), field
        assert is_number != bool(re.search(r"(\. |^)(Optional[.:;]|Absent:)", field.comment)), field


@each_schema
def test_time_says_its_unit_and_what_zero_means(path: Path) -> None:
    for field in read(path).fields():
        assert (field.type == "long") == field.name.endswith("_ms"), field
        assert (field.type == "ulong") == field.name.endswith("_ns"), field
        for unit, name in (("_ms", "milliseconds"), ("_ns", "nanoseconds")):
            if field.name.endswith(unit):
                assert f"in {name} since 1970 UTC; 0: " in field.comment, field


@each_schema
def test_root_begins_with_the_version(path: Path) -> None:
    schema = read(path)
    first = schema.tables()[schema.root][0]
    assert (first.name, first.type, first.default) == ("version", "ushort", "1")
    assert f'Root; file identifier "{schema.one(IDENTIFIER)}".' in schema.comments()[schema.root]


def test_identifiers_differ_between_schemas() -> None:
    identifiers = [read(path).one(IDENTIFIER) for path in SCHEMAS]
    assert len(set(identifiers)) == len(SCHEMAS) == 3
    extensions = [read(path).one(r'^file_extension "(\w+)";$') for path in SCHEMAS]
    assert extensions == [identifier.lower() for identifier in identifiers]


def test_names_differ_between_schemas() -> None:
    names = [name for path in SCHEMAS for name in read(path).comments()]
    assert len(set(names)) == len(names)


def test_every_schema_has_its_generated_files_and_no_other_has() -> None:
    expected = {path.stem for path in SCHEMAS}
    for folder in (ROOT / "rust/core/tests/wire", ROOT / "tests/wire"):
        assert {path.stem.removesuffix("_generated") for path in folder.glob("*_generated.*")} == expected


@each_schema
def test_generated_python_has_the_schemas_fields_in_order(path: Path) -> None:
    schema = read(path)
    module = import_module(f"wire.{path.stem}_generated")
    for table, fields in schema.tables().items():
        source = getsource(getattr(module, table))
        for at, field in enumerate(fields):
            getter = f"# {field.comment}\n    # {table}\n    def {camel(field.name)}(self"
            assert source.count(getter) == 1, getter
            body = source.split(getter)[1].split("\n\n")[0]
            assert f"self._tab.Offset({4 + 2 * at})" in body, field
        start = getsource(getattr(module, f"{table}Start"))
        assert f"builder.StartObject({len(fields)})" in start
    has_identifier = getattr(getattr(module, schema.root), f"{schema.root}BufferHasIdentifier")
    assert has_identifier(b"\0\0\0\0" + schema.one(IDENTIFIER).encode(), 0)


@each_schema
def test_generated_rust_has_the_schemas_fields_in_order(path: Path) -> None:
    schema = read(path)
    rust = generated_rust(path)
    for table, fields in schema.tables().items():
        body = rust.split(f"impl<'a> {table}<'a> {{")[1].split("\nimpl")[0]
        slots = re.findall(r"pub const VT_(\w+): ::flatbuffers::VOffsetT = (\d+);", body)
        # A name that is a keyword of Rust has a line behind it.
        assert [(name.rstrip("_"), int(slot)) for name, slot in slots] == [
            (field.name.upper(), 4 + 2 * at) for at, field in enumerate(fields)
        ]
        for field in fields:
            assert re.search(rf"/// {re.escape(field.comment)}\n  #\[inline\]\n  pub fn {field.name}_?\(", body), field
    assert f'_IDENTIFIER: &str = "{schema.one(IDENTIFIER)}";' in rust


@each_schema
def test_table_without_fields_reads_as_the_defaults(path: Path) -> None:
    module = import_module(f"wire.{path.stem}_generated")
    for table, fields in read(path).tables().items():
        builder = flatbuffers.Builder()
        getattr(module, f"{table}Start")(builder)
        builder.Finish(getattr(module, f"{table}End")(builder))
        empty = getattr(module, table).GetRootAs(bytes(builder.Output()))
        for field in fields:
            if field.type.startswith("["):
                assert getattr(empty, f"{camel(field.name)}IsNone")(), field
            else:
                assert getattr(empty, camel(field.name))() == default(module, field), field


def default(module: ModuleType, field: Field) -> object:
    """What a reader takes an absent field for."""
    if field.default is None:
        return None
    if field.type in SCALARS:
        return json.loads(field.default)
    return getattr(getattr(module, field.type), field.default)


def test_cache_entry_comes_back_as_it_was_written() -> None:
    builder = flatbuffers.Builder()
    alone = "灯笼\ud800".encode("utf-8", "surrogatepass")
    key, value = builder.CreateByteVector(alone), builder.CreateByteVector(b"\0\xff")
    vector = builder.CreateNumpyVector(np.array([0.6, 0.8], np.float32))
    cache_entry.CacheEntryStart(builder)
    cache_entry.CacheEntryAddKey(builder, key)
    cache_entry.CacheEntryAddValue(builder, value)
    cache_entry.CacheEntryAddVector(builder, vector)
    cache_entry.CacheEntryAddDeadlineNs(builder, 2**64 - 1)
    cache_entry.CacheEntryAddAge(builder, 7)
    builder.Finish(cache_entry.CacheEntryEnd(builder), file_identifier=b"RCCE")

    entry = cache_entry.CacheEntry.GetRootAs(bytes(builder.Output()))
    assert (entry.Version(), entry.KeyAsNumpy().tobytes(), entry.ValueIsText()) == (1, alone, False)
    assert entry.ValueAsNumpy().tobytes() == b"\0\xff"
    assert entry.VectorAsNumpy().tolist() == np.array([0.6, 0.8], np.float32).tolist()
    assert (entry.TenantIsNone(), entry.ModelIdIsNone(), entry.Cost()) == (True, True, 1.0)
    assert (entry.DeadlineNs(), entry.IsPinned(), entry.IsMain()) == (2**64 - 1, False, False)
    assert (entry.Age(), entry.Uses(), entry.Priority()) == (7, 0, 0.0)


def test_task_comes_back_as_it_was_written() -> None:
    builder = flatbuffers.Builder()
    name, kind, error = (builder.CreateString(text) for text in ("t-1", "embed", "no such model"))
    task.TaskResultStart(builder)
    task.TaskResultAddStatus(builder, task.TaskStatus.Failed)
    task.TaskResultAddError(builder, error)
    result = task.TaskResultEnd(builder)
    task.TaskStart(builder)
    task.TaskAddId(builder, name)
    task.TaskAddType(builder, kind)
    task.TaskAddResult(builder, result)
    builder.Finish(task.TaskEnd(builder), file_identifier=b"RCTK")

    envelope = task.Task.GetRootAs(bytes(builder.Output()))
    assert (envelope.Version(), envelope.Id(), envelope.Type()) == (1, b"t-1", b"embed")
    assert (envelope.PayloadIsNone(), envelope.DeadlineMs()) == (True, 0)
    assert envelope.Result().Status() == task.TaskStatus.Failed
    assert (envelope.Result().Error(), envelope.Result().PayloadIsNone()) == (b"no such model", True)
