"""Domain values to protobuf messages (``pack``) and back (``unpack``), one module per noun. No I/O, no gRPC."""
