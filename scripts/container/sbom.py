"""What the image is made of, for scanners and lawyers: a CycloneDX 1.6 bill of materials, read from the image's files.

Debian's packages tell themselves by their control files and the copyright files that come with them, Python's by the
metadata of their wheels. Nothing is listed by hand, so nothing that is in the image is missing. Pure.
"""

from __future__ import annotations

import datetime
import email.parser
import json
import re
import urllib.parse
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

MEDIA_TYPE: Final = "application/vnd.cyclonedx+json"
PLACE: Final = "usr/share/sbom/skep.cdx.json"
"""Where it is in the image."""
NEEDED: Final = re.compile(
    r"(var/lib/dpkg/status\.d/[^/]+|usr/share/doc/[^/]+/copyright|.*\.dist-info/METADATA|etc/os-release)\Z"
)
"""The files that it is made of."""
_SPACE: Final = uuid.UUID("0b6f2c1e-5a43-5d0b-9d0e-6f2f4c2c3f55")
_OSI: Final = "License :: OSI Approved :: "

Files = Mapping[str, bytes]
"""Contents by path, of the files that are needed."""


def bill(files: Files, *, name: str, version: str, seconds: int) -> bytes:
    """The document, the same for the same files. ``seconds``: since 1970, its time."""
    components = sorted([*_debian(files), *_python(files)], key=lambda one: str(one["purl"]))
    serial = uuid.uuid5(_SPACE, json.dumps(components, sort_keys=True))
    about = {"type": "container", "name": name, "version": version, "licenses": [{"expression": "Apache-2.0"}]}
    made = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": about,
        },
        "components": components,
    }
    return json.dumps(made, indent=1, sort_keys=True).encode() + b"\n"


def _debian(files: Files) -> Iterator[dict[str, Any]]:  # Any: JSON
    release = dict(re.findall(r'(?m)^(\w+)="?(.*?)"?$', files.get("etc/os-release", b"").decode()))
    packages = [
        email.parser.Parser().parsestr(data.decode())
        for path, data in files.items()
        if path.startswith("var/lib/dpkg/status.d/")
    ]
    sources = {one["Package"]: (one.get("Source") or one["Package"]).split()[0] for one in packages}
    for one in packages:
        name, version = one["Package"], one["Version"]
        asked = {"arch": one["Architecture"], "distro": f"{release.get('ID')}-{release.get('VERSION_ID')}"}
        # Of several packages from one source, some have a link to another's copyright file.
        copyrights = [name, *sorted(other for other, source in sources.items() if source == sources[name])]
        text = next((data for each in copyrights if (data := files.get(f"usr/share/doc/{each}/copyright"))), b"")
        names = _copyright_names(text.decode(errors="replace"))
        yield {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{name}@{urllib.parse.quote(version, safe='.')}?{urllib.parse.urlencode(asked)}",
            "licenses": [{"license": {"name": each}} for each in names],
        }


def _copyright_names(text: str) -> list[str]:
    """The licences of a Debian copyright file: of its fields where it has some (DEP 5), else those it refers to."""
    found = {each.strip() for each in re.findall(r"(?m)^License:[ \t]*(\S.*)$", text)}
    referred = set(re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", text))
    return sorted(found or referred) or ["see /usr/share/doc"]


def _python(files: Files) -> Iterator[dict[str, Any]]:  # Any: JSON
    for path, data in files.items():
        if path.endswith(".dist-info/METADATA"):
            one = email.parser.Parser().parsestr(data.decode(), headersonly=True)
            name, version = re.sub(r"[-_.]+", "-", one["Name"]).lower(), one["Version"]
            yield {
                "type": "library",
                "name": one["Name"],
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "licenses": _declared(one.get("License-Expression"), one.get("License"), one.get_all("Classifier", [])),
            }


def _declared(expression: str | None, text: str | None, classifiers: list[str]) -> list[dict[str, Any]]:  # Any: JSON
    """What a wheel says: in SPDX's words, else by its classifiers, else in its own words."""
    if expression:
        return [{"expression": expression}]
    named = [each.removeprefix(_OSI) for each in classifiers if each.startswith(_OSI)]
    if not named and text:
        named = text.strip().splitlines()[:1]
    return [{"license": {"name": each}} for each in named or ["see its metadata"]]
