"""The operator's side of the older kinds: makes the current object of each, tells its status, and keeps BpfPrograms.

``watching`` sees the older objects whose CRDs are there, ``translating`` acts for one of them at a time, ``viewing``
for what one node reports, and ``leading`` joins them. What an older object means is decided in ``skep.kube.older``.
"""
