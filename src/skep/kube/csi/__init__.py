"""The CSI driver csi.bpfman.io: hands maps of managed programs to pods, each pod exactly those that it names.

``request`` and ``choose`` decide and do no I/O; ``volume`` mounts and unmounts; ``driver`` answers kubelet;
``endpoint`` and ``registration`` are its sockets; ``serve`` is the process.
"""
