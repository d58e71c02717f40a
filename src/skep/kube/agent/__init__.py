"""The agent: makes its node run what applications say, through the daemon's socket, and reports it in state objects.

Pure: ``sight`` (what is kept of nodes and pods), ``expand`` (selectors -> places on this node), ``status`` (outcome ->
state's status), ``news`` (what is worth an Event), ``login`` (pull secrets). ``turn`` carries one application out, in a
thread; ``agent`` decides whose turn it is, and ``program`` wires it to an API server and a daemon.
"""
