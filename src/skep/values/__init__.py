"""Bytes of map elements and events <-> JSON values, by BTF. Pure.

An integer is a number, an enumerator its name, a ``char[]`` a string, a struct or a section of variables an object,
an array a list, a pointer hexadecimal text. Members of anonymous structs and unions stand in the object around them, as
in C. All members of a union are told, and those that are given must agree.
"""

from __future__ import annotations

from skep.values.decode import decode
from skep.values.encode import encode
from skep.values.fields import Json, fields

__all__ = ["Json", "decode", "encode", "fields"]
