"""`make install` and `make uninstall`: what is put where, that it runs from there, and that it all goes again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.house import source_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def make(target: str, *variables: str) -> subprocess.CompletedProcess[str]:
    """`make TARGET NAME=VALUE …` in this checkout."""
    return subprocess.run(
        ["make", "-s", "-C", source_tree.ROOT, target, *variables],
        env={name: value for name, value in os.environ.items() if name not in ("DESTDIR", "PREFIX", "PYTHONPATH")},
        capture_output=True,
        text=True,
        check=False,
    )


def files(directory: Path) -> set[str]:
    """Every path below a directory that is no directory itself."""
    return {
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_symlink() or path.is_file()
    }


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A prefix with skep installed in it, beside a file that is not ours."""
    directory = tmp_path_factory.mktemp("prefix")
    foreign = directory / "share" / "doc" / "skep" / "notes-of-the-administrator"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("not installed by us\n")
    done = make("install", f"PREFIX={directory}")
    assert done.returncode == 0, done.stdout + done.stderr
    yield directory
    done = make("uninstall", f"PREFIX={directory}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files(directory) == {"share/doc/skep/notes-of-the-administrator"}
    assert not (directory / "lib" / "skep").exists()


@pytest.mark.parametrize("program", ["skep", "kubectl-skep"])
def test_the_installed_program_runs(prefix: Path, program: str) -> None:
    """Without the checkout, its environment or its interpreter's packages."""
    done = subprocess.run(
        [prefix / "bin" / program, "--help"],
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    where = "import skep.cli.main as main; print(main.__file__)"
    python = prefix / "lib" / "skep" / "bin" / "python3"
    done = subprocess.run([python, "-Ic", where], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{prefix}/lib/skep/")


def test_everything_a_package_needs_is_there(prefix: Path) -> None:
    """Units, completions, manual pages, the example configuration, the licence."""
    wanted = {
        "lib/systemd/system/skep.service",
        "lib/systemd/system/skep.socket",
        "share/bash-completion/completions/skep",
        "share/zsh/site-functions/_skep",
        "share/fish/vendor_completions.d/skep.fish",
        "share/man/man1/skep.1",
        "bin/kubectl_complete-skep",
        "share/bash-completion/completions/kubectl-skep",
        "share/man/man1/kubectl-skep-why.1",
        "share/doc/skep/skep.toml",
        "share/doc/skep/LICENSE",
    }
    assert wanted - files(prefix) == set()
    assert [name for name in wanted if not (prefix / name).stat().st_size] == []


def test_systemd_accepts_the_installed_units(prefix: Path) -> None:
    """The units name the program where it was installed, which systemd checks."""
    units = [prefix / "lib" / "systemd" / "system" / name for name in ("skep.service", "skep.socket")]
    assert f"ExecStart={prefix}/bin/skep serve" in units[0].read_text()
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_installed_remembers_where_it_was_built(prefix: Path) -> None:
    """It is laid out in a staging directory first: a path of that in a script or in byte code would be a broken one."""
    manifest = (prefix / "lib" / "skep" / "manifest").read_text().splitlines()
    assert set(manifest) == {f"{prefix}/{name}" for name in files(prefix)} - {
        f"{prefix}/lib/skep/manifest",
        f"{prefix}/share/doc/skep/notes-of-the-administrator",
    }
    script = prefix / "lib" / "skep" / "bin" / "skep"
    assert script.read_text().splitlines()[0] == f"#!{prefix}/lib/skep/bin/python3 -I"
    assert {path.name for path in script.parent.iterdir() if "python" not in path.name} == {
        "skep", "kubectl-skep", "kubectl_complete-skep",
    }  # fmt: skip
    for name in manifest:
        if Path(name).suffix in {".pyc", ".cfg", ".pth"}:
            assert b"/tmp/tmp." not in Path(name).read_bytes(), name


def test_uninstalling_where_nothing_is_says_so(tmp_path: Path) -> None:
    """A mistyped PREFIX must not look like success."""
    done = make("uninstall", f"PREFIX={tmp_path}")
    assert done.returncode != 0
    assert "put nothing there" in done.stderr
