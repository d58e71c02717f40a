"""Domain values as JSON documents, in the shapes that bpfman's CLI prints. Pure: no file, clock or kernel is read.

Every field is always there: null means "does not apply", an empty list or object means "none". What skep adds stands
under names that bpfman does not use.
"""

from __future__ import annotations
