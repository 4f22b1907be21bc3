from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelpress.engine.home import Home
from modelpress.errors import HomeBusyError, InputError, StoreFullError

HOLDER = """
import sys
from pathlib import Path
from modelpress.engine.home import Home
with Home(Path(sys.argv[1])).driving():
    sys.stdout.write("held\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def test_one_process_drives_and_its_death_frees_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeBusyError, match=rf"process {holder.pid} drives the home {tmp_path}"), home.driving():
            pass
        holder.kill()
        holder.wait()
    with home.driving():
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_two_engines_of_one_process_do_not_drive_together(tmp_path: Path) -> None:
    with Home(tmp_path).driving(), pytest.raises(HomeBusyError), Home(tmp_path).driving():
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"no home can be made at .*file"):
        Home(tmp_path / "file")


def test_the_engine_needs_no_torch() -> None:
    code = "import sys, modelpress.engine.driver; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_log_can_be_written_after_all_logs_were_removed(tmp_path: Path) -> None:
    home = Home(tmp_path)
    shutil.rmtree(tmp_path / "logs")
    home.log_path("run", "step").write_text("again")


def test_a_log_that_has_no_space_is_a_full_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *mode: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    home = Home(tmp_path)
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StoreFullError):
        home.log_path("run", "step")


def test_a_folder_whose_name_is_no_text_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"h\\udcff.*no UTF-8"):
        Home(tmp_path / "h\udcff")
