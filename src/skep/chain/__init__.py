"""Several programs on one hook: their order, when each hands on, and the one program made of them.

Pure. One meaning for every way a chain is built:

- ``codes``      what a hook's verdicts are called, which end a chain, what falling off its end means
- ``order``      which member runs first
- ``verdict``    proceed-on masks, which members can be reached, warnings
- ``counts``     the counter map of a chain and its arithmetic
- ``licence``    which members may be linked together
- ``pointers``   how far below an address a body reaches
- ``frames``     how much stack a member takes
- ``liveness``   which registers a body still needs
- ``flatten``    a member without the calls of its own subprograms
- ``emit``       instructions with labels
- ``ladder``     the test whether a verdict hands on
- ``ending``     the shared end: judge, count, return
- ``parts``      a member made ready, inlined or called
- ``forms``      which members to inline, which to call
- ``functions``  the BTF of a linked program
- ``limits``     what one program may not exceed
- ``linked``     the linker: members -> one program
"""
