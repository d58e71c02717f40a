"""Applications as Kubernetes objects: what they may say, what they mean on a host, and what has to change there.

``shape`` is the grammar that both the parser and the CRDs' OpenAPI schemas come from; ``kinds`` the five kinds written
in it. ``resources`` are the values they are read into. ``host`` and ``reconcile`` decide; all but ``crd`` do no I/O.
"""
