"""Generated gRPC stubs: scripts/generate makes them from proto/. Never edited."""
