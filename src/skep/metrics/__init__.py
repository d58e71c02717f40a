"""The daemon's numbers for Prometheus: ``families`` makes them of a snapshot, ``page`` serves them.

Off unless ``metrics.address`` is set. Nothing is counted for them that is not counted anyway, and nothing is read while
nobody asks.
"""
