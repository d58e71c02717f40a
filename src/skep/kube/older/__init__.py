"""The kinds of bpfman 0.2 to 0.5 and of bpfd: their CRDs, what they mean in the current kinds, their status. Pure.

``kinds`` has the CRDs as values, ``translate`` makes the current object of an older one, ``status`` tells what became
of it in the older kind's own words, and ``views`` makes the BpfProgram objects. ``operator/`` acts on them.
"""
