"""What the programs of a BPF object can do, found out from their bytes before anything is loaded. Pure.

``manifest.read`` is the way in. ``code`` finds the functions and whom they call, ``calls`` is the table of kernel
helpers, ``inherent`` says what a program type can do by itself, ``writes`` follows pointers to packets.

The answer errs on one side: what the code cannot do may be listed (a helper in a branch that is never taken), but what
it can do is never left out. Where code is too large to follow, the worst is said.
"""
