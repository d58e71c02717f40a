"""The daemon's gRPC side and its client: relay, conversions, the two services. Knows no kernel and no store."""
