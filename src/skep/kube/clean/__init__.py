"""Taking skep out of a cluster: applications first, then the nodes, so that deleting the manifests leaves nothing.

``cluster`` does it, step by step, and ``nodes`` those steps that are about nodes' files; ``cleaner`` is the DaemonSet
that removes these and ``telling`` the words, both pure; ``node`` is what runs in that DaemonSet's pods.
"""
