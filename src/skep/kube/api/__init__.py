"""Talking to a Kubernetes API server: connection, objects, informers, work queue, leases, events, and what is served.

All of it is asyncio on lightkube's client, and only the processes of a cluster import it. Objects are plain dicts here,
as the API server sends them; who knows a kind reads them into values (``kube.resources``). Errors are skep's own
(``answers``). ``backoff``, ``merge`` and ``schedule`` decide and do no I/O.
"""
