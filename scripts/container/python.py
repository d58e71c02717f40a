"""The part of the image that is Python: wheels, laid out where Debian's Python looks, compiled by the image's own."""

from __future__ import annotations

import fnmatch
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

from scripts.container.tree import Directory, File, Link, Node, Tree, key, whole

EXTRAS = ("kubernetes",)
OLDEST_GLIBC = 17
"""Of the tags manylinux_2_<n>: 2.17, that is manylinux2014."""
_OWN = ("pyproject.toml", "README.md", "LICENSE", "LICENSES", "src")
_NOT_OWN = ("__pycache__", "*.egg-info", "*.pyc")
_SKEP = b"""#!/usr/bin/python3 -I
import sys

from skep.cli.main import main

sys.exit(main())
"""
# Sorted, in one process and with one seed: else the order of constants in a .pyc is chance.
_COMPILE = """
import pathlib, py_compile, sys
root = sys.argv[1]
for path in sorted(pathlib.Path(root).rglob("*.py")):
    try:
        py_compile.compile(str(path), dfile="/" + str(path.relative_to(root)), doraise=True, quiet=0,
                           invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except py_compile.PyCompileError:
        pass  # a template or a test of syntax
"""


def requirements(checkout: Path) -> list[str]:
    """What skep and its extras of the image depend on."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    return [*project["dependencies"], *(one for extra in EXTRAS for one in optional.get(extra, ()))]


def dependencies(checkout: Path, cache: Path, *, version: str, glibc: int) -> tuple[Path, ...]:
    """The wheels that skep needs, for the image's Python and not for the one that runs this."""
    wanted, constraints = requirements(checkout), checkout / "constraints.txt"
    name = key([*map(str.encode, sorted(wanted)), constraints.read_bytes(), f"{version} {glibc}".encode()])
    place = cache / "wheels" / name
    if not place.is_dir():
        tags = [f"manylinux_2_{minor}_{platform.machine()}" for minor in range(OLDEST_GLIBC, glibc + 1)]
        with tempfile.TemporaryDirectory(dir=_made(cache / "wheels")) as fresh:
            _pip(
                "download", "--dest", fresh, "--only-binary", ":all:", "--implementation", "cp",
                "--python-version", version,
                *(word for tag in (*tags, f"manylinux2014_{platform.machine()}") for word in ("--platform", tag)),
                "-c", str(constraints), *wanted,
            )  # fmt: skip
            shutil.copytree(fresh, place)
    return tuple(sorted(place.glob("*.whl")))


def sources(checkout: Path) -> list[bytes]:
    """Everything that skep's own wheel is made of, with its names."""
    files = [path for name in _OWN for path in sorted([checkout / name, *(checkout / name).rglob("*")])]
    found = [
        path
        for path in files
        if path.is_file() and not any(fnmatch.fnmatch(part, each) for part in path.parts for each in _NOT_OWN)
    ]
    return [part for path in found for part in (str(path.relative_to(checkout)).encode(), path.read_bytes())]


def own(checkout: Path) -> bytes:
    """The wheel of skep itself. Made from a copy: setuptools leaves files where it works."""
    with tempfile.TemporaryDirectory(prefix="skep-wheel-") as name:
        copy, out = Path(name) / "copy", Path(name) / "out"
        copy.mkdir()
        for each in _OWN:
            if (checkout / each).is_dir():
                shutil.copytree(checkout / each, copy / each, ignore=shutil.ignore_patterns(*_NOT_OWN))
            else:
                shutil.copy(checkout / each, copy / each)
        _pip("wheel", "--no-deps", "--wheel-dir", str(out), str(copy))
        (wheel,) = out.glob("*.whl")
        return wheel.read_bytes()


def laid_out(wheel: bytes, *, version: str) -> Tree:
    """A wheel's modules where Debian's Python looks for what is not Debian's."""
    home = f"usr/local/lib/python{version}/dist-packages"
    found: dict[str, Node] = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        for member in archive.infolist():
            path = member.filename
            first, _, rest = path.partition("/")
            if first.endswith(".data"):  # PEP 427: scripts, headers, and modules in two places
                scheme, _, path = rest.partition("/")
                if scheme not in ("purelib", "platlib"):
                    continue
            if member.is_dir() or path.endswith(".pyi"):
                continue
            mode = 0o755 if (member.external_attr >> 16) & 0o111 else 0o644
            found[f"{home}/{path}"] = File(data=archive.read(member), mode=mode)
    return found


def entry(version: str) -> Tree:
    """``/usr/bin/skep``; -I, so that nobody's PYTHONPATH or working directory gets into a privileged process."""
    return {"usr/bin/skep": File(data=_SKEP, mode=0o755), "usr/bin/python3": Link(target=f"python{version}")}


def compiled(tree: Tree, base: Tree, *, version: str) -> Tree:
    """``tree`` with its modules' bytecode, which a process without the right to write could never keep."""
    with tempfile.TemporaryDirectory(prefix="skep-compile-") as name:
        root, target = Path(name) / "base", Path(name) / "tree"
        _written(base, root)
        _written({path: node for path, node in tree.items() if path.endswith(".py")}, target)
        multiarch = f"{platform.machine()}-linux-gnu"
        (loader,) = (root / "usr/lib" / multiarch).glob("ld-linux*.so.*")
        subprocess.run(
            [loader, "--library-path", root / "usr/lib" / multiarch, root / f"usr/bin/python{version}", "-s", "-S",
             "-c", _COMPILE, target],
            env={"PYTHONHOME": str(root / "usr"), "PYTHONHASHSEED": "0"}, check=True,
        )  # fmt: skip
        made = {str(path.relative_to(target)): File(data=path.read_bytes()) for path in target.rglob("*.pyc")}
    return {**tree, **made}


def _written(tree: Tree, root: Path) -> None:
    root.mkdir()
    for path, node in sorted(whole(tree).items()):
        match node:
            case Directory():
                (root / path).mkdir(exist_ok=True)
            case File():
                (root / path).write_bytes(node.data)
                (root / path).chmod(node.mode)
            case Link():
                os.symlink(node.target, root / path)


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"container-image: pip failed: {done.stderr.strip()[-2000:]}")


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory
