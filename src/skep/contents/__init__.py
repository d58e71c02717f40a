"""What maps hold: listing, looking up, writing, removing elements and taking events, for a caller who may."""

from __future__ import annotations

from skep.contents.contents import Contents

__all__ = ["Contents"]
