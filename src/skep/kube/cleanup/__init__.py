"""Taking skep out of a cluster: applications first, then the nodes, so that deleting the manifests leaves nothing.

``cluster`` does it and tells what it waits for; ``cleaner`` is the DaemonSet that cleans nodes, and ``telling`` the
words, both pure; ``node`` is what runs in that DaemonSet's pods.
"""
