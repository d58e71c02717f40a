"""Who signed an image. Pure: bytes and the present time in, a verdict that can be explained out."""

from __future__ import annotations
