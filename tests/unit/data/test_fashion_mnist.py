"""Where Fashion-MNIST is looked for; with small files in place of the real ones."""

import gzip
import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from modelpress.config.settings import Settings, load_settings
from modelpress.data import fashion_mnist
from modelpress.data.fashion_mnist import NAME, locate
from modelpress.data.importers import import_data
from modelpress.errors import DataError
from tests.unit.data.sources import write_idx_folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files, whose digests count as the right ones."""
    folder = write_idx_folder(tmp_path / "small")
    contents = {file.name.removesuffix(".gz"): gzip.decompress(file.read_bytes()) for file in folder.iterdir()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(fashion_mnist, "CONTENT_SHA256", digests)
    return folder


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No installed copy, no apt-get, no network."""
    monkeypatch.setattr(fashion_mnist, "INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(fashion_mnist, "HOME_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()


@pytest.fixture
def home(small: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A web server in place of the data's home, which serves the small files."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=small)) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        monkeypatch.setattr(fashion_mnist, "HOME_URL", f"http://127.0.0.1:{server.server_port}")
        yield small
        server.shutdown()


def settings(tmp_path: Path, **variables: Path) -> Settings:
    return load_settings({"XDG_CACHE_HOME": str(tmp_path / "cache")} | {k: str(v) for k, v in variables.items()})


def cached(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "modelpress" / NAME


def put_commands(tmp_path: Path, **scripts: str) -> None:
    for name, script in scripts.items():
        path = tmp_path / "bin" / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)


def test_the_users_folder_comes_first(tmp_path: Path, small: Path) -> None:
    shutil.copytree(small, cached(tmp_path))
    assert locate(settings(tmp_path, MODELPRESS_DATA=small)) == small
    shutil.copytree(small, tmp_path / "data" / NAME)
    assert locate(settings(tmp_path, MODELPRESS_DATA=tmp_path / "data")) == tmp_path / "data" / NAME


def test_a_users_folder_without_it_is_a_mistake_and_not_passed_over(tmp_path: Path, small: Path) -> None:
    shutil.copytree(small, cached(tmp_path))
    (small / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"MODELPRESS_DATA is .*small, but neither .* t10k-labels-idx1-ubyte\.gz"):
        locate(settings(tmp_path, MODELPRESS_DATA=small))


def test_the_cache_comes_before_an_installed_copy(tmp_path: Path, small: Path) -> None:
    shutil.copytree(small, tmp_path / "installed")
    assert locate(settings(tmp_path)) == tmp_path / "installed"
    shutil.copytree(small, cached(tmp_path))
    assert locate(settings(tmp_path)) == cached(tmp_path)


def test_it_is_imported_with_its_class_names_and_augmentations(tmp_path: Path, small: Path) -> None:
    dataset = import_data(NAME, settings=settings(tmp_path, MODELPRESS_DATA=small), calibration_size=5)
    assert dataset.description.class_names[0] == "T-shirt/top"
    assert len(dataset.description.class_names) == 10
    assert dataset.description.augmentations.horizontal_flip
    assert dataset.description.augmentations.crop_padding == 2
    assert len(dataset.splits["calibration"]) == 5


def package_scripts(small: Path, installed: Path) -> dict[str, str]:
    inside = installed.relative_to("/")
    return {
        "apt_get": 'test "$1 $2" = "download dataset-fashion-mnist" && touch dataset-fashion-mnist_0_all.deb',
        "dpkg_deb": f'test "$1" = -x && test -e "$2" && mkdir -p "$3/{inside}" && cp {small}/* "$3/{inside}"',
    }


def test_the_debian_package_is_unpacked_into_the_cache(tmp_path: Path, small: Path) -> None:
    put_commands(tmp_path, **package_scripts(small, tmp_path / "installed"))
    assert locate(settings(tmp_path)) == cached(tmp_path)
    assert {file.name for file in cached(tmp_path).iterdir()} == {file.name for file in small.iterdir()}
    assert [path.name for path in cached(tmp_path).parent.iterdir()] == [NAME], "nothing else is left in the cache"
    put_commands(tmp_path, apt_get="exit 1")
    assert locate(settings(tmp_path)) == cached(tmp_path)


def test_root_makes_the_package_lists_where_there_are_none(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = package_scripts(small, tmp_path / "installed")
    lists = tmp_path / "lists"
    scripts["apt_get"] = f'if test "$1" = update; then touch {lists}; else test -e {lists} && {scripts["apt_get"]}; fi'
    put_commands(tmp_path, **scripts)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(DataError, match="'apt-get download dataset-fashion-mnist' failed: no message"):
        locate(settings(tmp_path))
    assert not lists.exists()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert locate(settings(tmp_path)) == cached(tmp_path)


def test_it_is_downloaded_from_its_home_otherwise(tmp_path: Path, home: Path) -> None:
    put_commands(tmp_path, apt_get="echo 'E: Unable to locate package' >&2; exit 100", dpkg_deb="exit 0")
    assert locate(settings(tmp_path)) == cached(tmp_path)
    for file in home.iterdir():
        assert (cached(tmp_path) / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (gzip.compress(b"other data", mtime=0), "its content has another digest"),
        (b"<html>not found</html>", "does not decompress"),
        (None, "HTTP Error 404"),
    ],
    ids=["other", "no archive", "absent"],
)
def test_a_download_that_is_not_the_data_is_refused(
    tmp_path: Path, home: Path, spoiled: bytes | None, message: str
) -> None:
    (home / "t10k-labels-idx1-ubyte.gz").unlink()
    if spoiled is not None:
        (home / "t10k-labels-idx1-ubyte.gz").write_bytes(spoiled)
    with pytest.raises(DataError, match=message):
        locate(settings(tmp_path))
    assert list(cached(tmp_path).iterdir()) == []


def test_where_it_cannot_be_had_the_three_ways_are_named_with_what_failed(tmp_path: Path) -> None:
    put_commands(tmp_path, apt_get="echo 'E: Unable to locate package' >&2; exit 100", dpkg_deb="exit 0")
    with pytest.raises(DataError) as caught:
        locate(settings(tmp_path))
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "MODELPRESS_DATA" in lines[1]
    assert "dataset-fashion-mnist" in lines[2]
    assert "E: Unable to locate package" in lines[2]
    assert "http://127.0.0.1:9" in lines[3]
    assert "refused" in lines[3]


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match="cannot be filled"):
        locate(settings(tmp_path))
