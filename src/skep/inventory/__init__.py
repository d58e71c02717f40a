"""What is on this host: the store's records joined with what the kernel and the pins show. Reads only."""
