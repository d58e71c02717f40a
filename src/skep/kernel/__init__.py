"""The one place that talks to Linux: bpf(2), libbpf, netlink-free interface look-up, namespaces, bpffs."""
