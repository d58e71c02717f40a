"""The bill of materials is read from files of every kind that packages bring."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.container import sbom

CONTROL = "Package: {0}\nVersion: 1:2.0+dfsg~1\nArchitecture: amd64\n{1}Description: a library\n with more\n"


def components(files: dict[str, str]) -> dict[str, dict[str, Any]]:
    data = {path: text.encode() for path, text in files.items()}
    made = json.loads(sbom.bill(data, name="skep", version="1", seconds=0))
    return {one["name"]: one for one in made["components"]}


def names(one: dict[str, Any]) -> list[str]:
    return [each.get("expression") or each["license"]["name"] for each in one["licenses"]]


def test_a_debian_package() -> None:
    found = components({
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "var/lib/dpkg/status.d/libone": CONTROL.format("libone", ""),
        "usr/share/doc/libone/copyright": "Files: *\nLicense: LGPL-2.1 or BSD-2-Clause\nFiles: x\nLicense: MIT\n",
    })  # fmt: skip
    assert found["libone"]["version"] == "1:2.0+dfsg~1"
    assert found["libone"]["purl"] == "pkg:deb/debian/libone@1%3A2.0%2Bdfsg~1?arch=amd64&distro=debian-12"
    assert names(found["libone"]) == ["LGPL-2.1 or BSD-2-Clause", "MIT"]


def test_one_whose_copyright_is_with_its_source() -> None:
    found = components({
        "var/lib/dpkg/status.d/libtwo": CONTROL.format("libtwo", "Source: two (2.0)\n"),
        "var/lib/dpkg/status.d/two-base": CONTROL.format("two-base", "Source: two\n"),
        "usr/share/doc/two-base/copyright": "On Debian see /usr/share/common-licenses/GPL-3.\n",
    })  # fmt: skip
    assert names(found["libtwo"]) == names(found["two-base"]) == ["GPL-3"]


@pytest.mark.parametrize(
    ("metadata", "licences"),
    [
        ("License-Expression: MIT\nLicense: other\n", ["MIT"]),
        ("License: long text\nClassifier: License :: OSI Approved :: BSD License\n", ["BSD License"]),
        ("License: 3-Clause BSD License\n", ["3-Clause BSD License"]),
        ("", ["see its metadata"]),
    ],
)
def test_a_wheel(metadata: str, licences: list[str]) -> None:
    found = components({"x/One_Two-1.0.dist-info/METADATA": f"Name: One_Two\nVersion: 1.0\n{metadata}\nText: no\n"})
    assert found["One_Two"]["purl"] == "pkg:pypi/one-two@1.0"
    assert names(found["One_Two"]) == licences


def test_the_same_files_give_the_same_document() -> None:
    files = {"x/one-1.0.dist-info/METADATA": b"Name: one\nVersion: 1.0\n"}
    first, again, other = (sbom.bill(files, name="skep", version="1", seconds=number) for number in (0, 0, 60))
    assert first == again != other
    assert sbom.NEEDED.match("usr/lib/python3/one-1.0.dist-info/METADATA") and not sbom.NEEDED.match("etc/passwd")
