"""skep: the one privileged place on a host through which eBPF programs are loaded, attached and watched."""

__version__ = "0.1.0"
