"""The part of the image that is Debian: which packages, fetched by apt, and which of their files.

apt's own resolver answers for a machine without any package, from the sources that this machine has, and checks what it
fetches against their signatures. Packages are kept in the cache, so that the next image needs no network.
"""

from __future__ import annotations

import fnmatch
import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.container.tree import File, Link, Node, Tree

LEFT_OUT = frozenset({
    "debconf", "dpkg", "mawk", "media-types", "openssl", "readline-common", "tar", "libtirpc-common",
    "libacl1", "libcom-err2", "libcrypt1", "libgssapi-krb5-2", "libk5crypto3", "libkeyutils1", "libkrb5-3",
    "libkrb5support0", "libmd0", "libncursesw6", "libnsl2", "libpcre2-8-0", "libreadline8", "libselinux1", "libtinfo6",
})  # fmt: skip
"""What dependencies ask for and skep does not use: package management, NIS, a terminal's library, Kerberos."""
LEFT_OUT_PREFIXES = ("libdb5.", "libtirpc3", "libnsl2", "libreadline8")
KEPT = (
    "usr/lib/*", "usr/lib64/*", "usr/bin/python3*", "usr/share/doc/*/copyright", "usr/share/ca-certificates/*",
    "etc/os-release",
)  # fmt: skip
DROPPED = (
    # Without a library that is left out, or useful only to who develops Python.
    "*/lib-dynload/_curses*", "*/lib-dynload/_crypt.*", "*/lib-dynload/_dbm.*", "*/lib-dynload/nis.*",
    "*/lib-dynload/ossaudiodev.*", "*/lib-dynload/readline.*", "*/lib-dynload/_tkinter.*",
    *(f"usr/lib/python3.*/{name}/*" for name in (
        "curses", "dbm", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo",
        "unittest/test", "config-3.*", "__phello__",
    )),
    # Character sets beyond those in libc itself, engines and modules of OpenSSL, what the audit of linking needs.
    "usr/lib/*/gconv/*", "usr/lib/*/engines-*/*", "usr/lib/*/ossl-modules/*", "usr/lib/*/audit/*", "usr/lib/*/perl*",
    "usr/lib/binfmt.d/*", "usr/lib/valgrind/*", "usr/lib/sasl2/*", "usr/lib/locale/*", "usr/lib/dpkg/*",
    # pthread, rt, dl: one with libc since glibc 2.34, and nothing here asks for name services.
    "usr/lib/*/libmemusage*", "usr/lib/*/libpcprofile*", "usr/lib/*/libnss_compat*", "usr/lib/*/libnss_hesiod*",
)  # fmt: skip
_MERGED = ("bin", "lib", "lib64", "sbin")
"""Links into /usr (Debian's merged /usr), as an installed system has them."""
_URI = re.compile(r"^'[^']+' (?P<file>\S+\.deb) \d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package as a file."""

    name: str
    file: Path


def python_version() -> str:
    """The distribution's Python, as "3.11"."""
    shown = _output("apt-cache", "show", "--no-all-versions", "python3")
    found = re.search(r"^Depends:.*\bpython(3\.\d+)\b", shown, re.MULTILINE)
    if found is None:
        raise SystemExit("container-image: apt does not know python3; run 'apt-get update' and see its sources")
    return found[1]


def fetched(cache: Path, version: str) -> tuple[Package, ...]:
    """The packages of the image, by name; what the cache lacks is fetched."""
    archives = cache / "debs"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    nothing = cache / "status"
    nothing.touch()
    roots = (
        f"python{version}-minimal", f"libpython{version}-stdlib", "libbpf1", "libelf1", "libsqlite3-0", "libstdc++6",
        "ca-certificates", "base-files",  # gRPC wants libstdc++
    )  # fmt: skip
    words = (
        "apt-get", "-q", "-o", f"Dir::State::status={nothing}", "-o", f"Dir::Cache::archives={archives}",
        "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root", "--no-install-recommends",
    )  # fmt: skip
    _output(*words, "--yes", "--download-only", "install", *roots)
    # An empty cache for the question alone: what is there already is not listed.
    asked = _output(*words, "-o", f"Dir::Cache::archives={cache / 'none'}", "--print-uris", "install", *roots)
    files = [match["file"] for line in asked.splitlines() if (match := _URI.match(line))]
    found = [Package(name=file.split("_")[0], file=archives / file) for file in files]
    return tuple(sorted((one for one in found if _wanted(one.name)), key=lambda one: one.name))


def tree(packages: tuple[Package, ...]) -> Tree:
    """The files of the packages that an image of skep needs, and what tells a scanner which packages they are."""
    found: dict[str, Node] = {name: Link(target=f"usr/{name}") for name in _MERGED}
    for one in packages:
        found.update(_files(one.file))
        control = subprocess.run(["dpkg-deb", "-f", one.file], capture_output=True, check=True).stdout
        found[f"var/lib/dpkg/status.d/{one.name}"] = File(data=control)
    authorities = [
        node.data.strip() + b"\n"
        for path, node in sorted(found.items())
        if path.startswith("usr/share/ca-certificates/") and isinstance(node, File)
    ]
    found = {path: node for path, node in found.items() if not path.startswith("usr/share/ca-certificates/")}
    found["etc/ssl/certs/ca-certificates.crt"] = File(data=b"".join(authorities))
    found["usr/lib/ssl/cert.pem"] = Link(target="/etc/ssl/certs/ca-certificates.crt")
    return found


def _files(package: Path) -> Iterator[tuple[str, Node]]:
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            path = _merged(member.name.removeprefix("./"))
            if not any(fnmatch.fnmatchcase(path, each) for each in KEPT):
                continue
            if any(fnmatch.fnmatchcase(path, each) for each in DROPPED):
                continue
            if member.issym():
                yield path, Link(target=member.linkname)
            elif member.isreg() or member.islnk():
                content = archive.extractfile(member)
                yield path, File(data=b"" if content is None else content.read(), mode=member.mode & 0o755)


def _merged(path: str) -> str:
    return f"usr/{path}" if path.split("/")[0] in _MERGED else path


def _wanted(name: str) -> bool:
    return name not in LEFT_OUT and not name.startswith(LEFT_OUT_PREFIXES)


def _output(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"container-image: {words[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
