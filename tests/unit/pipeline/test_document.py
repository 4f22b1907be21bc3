"""Reading YAML safely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelpress.errors import InputError, NotFoundError, SpecError
from modelpress.pipeline.document import MAX_BYTES, parse_document, read_text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5.", 5.0),
        (".5", 0.5),
        ("-1", -1),
        ("0", 0),
        ("true", True),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("010", "010"),
        ("'3'", "3"),
        ("<= 0.5", "<= 0.5"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    read = parse_document(f"key: {text}").data["key"]
    assert read == value
    assert type(read) is type(value)


def test_positions_of_paths() -> None:
    positions = parse_document("a: 1\nb:\n  - c: 2\n    d: {e: 3}\n").positions
    assert {path: tuple(at) for path, at in positions.items() if path} == {
        "a": (1, 1),
        "b": (2, 1),
        "b[0]": (3, 5),
        "b[0].c": (3, 5),
        "b[0].d": (4, 5),
        "b[0].d.e": (4, 9),
    }


def test_keys_that_stand_twice_are_all_told() -> None:
    faults = parse_document("a: 1\nb: {c: 1, c: 2}\na: 2\n").faults
    assert {(f.path, f.line, f.column) for f in faults} == {("a", 3, 1), ("b.c", 2, 11)}
    assert "first on line 1" in next(f.message for f in faults if f.path == "a")


def test_aliases_are_read() -> None:
    assert parse_document("a: &shared {x: 1}\nb: *shared").data == {"a": {"x": 1}, "b": {"x": 1}}


def _bomb() -> str:
    rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    return "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x]", *rows])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_bomb(), "more than 50,000 values or 32 levels, its aliases expanded"),
        (
            "\n".join(["a0: &a0 {k: 1}", *(f"a{n}: &a{n} {{k: *a{n - 1}, k: *a{n - 1}}}" for n in range(1, 30))]),
            "aliases expanded",
        ),
        ("a: &a [*a]", "aliases expanded"),
        ("\n".join(["a0: &a0 [1]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100))]), "32 levels"),
        ("[" * 100_000, "nests deeper"),
        ("a: [1", "line 1"),
        ("a: !!python/object/apply:os.getcwd []", "python/object"),
        ("a: !!timestamp 2026-99-99", "is no YAML"),
        ("a: " + "9" * 5000, "is no YAML"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: \0", "is no YAML"),
        ("# nothing", "is empty"),
    ],
    ids=lambda value: value[:12] if len(value) < 40 else "long",
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_document(text)


def test_text_that_is_too_large() -> None:
    with pytest.raises(InputError, match="larger than 1,000,000 bytes"):
        parse_document("#" * (MAX_BYTES + 1))


def test_files(tmp_path: Path) -> None:
    good, large, binary = tmp_path / "good.yaml", tmp_path / "large.yaml", tmp_path / "binary.yaml"
    good.write_bytes(b"\xef\xbb\xbfa: \xc3\xa9")
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    binary.write_bytes(b"a: \xff")
    assert read_text(good) == "a: é"
    with pytest.raises(InputError, match="larger than"):
        read_text(large)
    with pytest.raises(InputError, match="byte 3 is not UTF-8"):
        read_text(binary)
    with pytest.raises(InputError, match="cannot read"):
        read_text(tmp_path)
    with pytest.raises(NotFoundError, match=r"no file .*absent\.yaml"):
        read_text(tmp_path / "absent.yaml")
