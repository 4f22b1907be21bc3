from pathlib import Path

import pytest

from modelpress.config.settings import load_settings, usable_cores
from modelpress.errors import InputError


def test_without_variables_everything_lies_under_the_users_home() -> None:
    settings = load_settings({})
    assert settings.home == Path.home() / ".modelpress"
    assert settings.cache == Path.home() / ".cache" / "modelpress"
    assert settings.data is None
    assert settings.durability == "process"
    assert settings.threads == usable_cores() >= 1


def test_each_variable_decides_its_setting(tmp_path: Path) -> None:
    settings = load_settings(
        {
            "MODELPRESS_HOME": str(tmp_path / "home"),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "MODELPRESS_DATA": str(tmp_path / "data"),
            "MODELPRESS_DURABILITY": "power",
            "MODELPRESS_THREADS": "3",
        }
    )
    assert settings.home == tmp_path / "home"
    assert settings.cache == tmp_path / "cache" / "modelpress"
    assert settings.data == tmp_path / "data"
    assert settings.durability == "power"
    assert settings.threads == 3


def test_an_empty_variable_counts_as_not_set() -> None:
    names = ("HOME", "DATA", "DURABILITY", "THREADS")
    assert load_settings({f"MODELPRESS_{name}": "" for name in names}) == load_settings({})


def test_a_tilde_stands_for_the_users_home() -> None:
    assert load_settings({"MODELPRESS_HOME": "~/there"}).home == Path.home() / "there"


def test_the_environment_is_read_when_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPRESS_THREADS", "7")
    assert load_settings().threads == 7


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "٣", " 2"])
def test_threads_that_are_no_number_are_named(value: str) -> None:
    with pytest.raises(InputError, match="MODELPRESS_THREADS"):
        load_settings({"MODELPRESS_THREADS": value})


def test_an_unknown_durability_is_named_with_what_would_be_right() -> None:
    with pytest.raises(InputError, match=r"MODELPRESS_DURABILITY is 'disk': expected 'process' or 'power'"):
        load_settings({"MODELPRESS_DURABILITY": "disk"})
