"""Bytecode images: what an OCI registry, layout or archive holds, how it gets here, and the cache that keeps it.

``reference`` and ``manifest`` are pure; ``source`` says what a place that holds images can do. The bytes of strangers
are fetched and unpacked by a process without rights (``fetcher`` starts it, ``child`` is it); the daemon checks every
digest again before a blob enters the cache, and once more when it is used.
"""
