"""NodeBpfInventory: one object for each node that says what runs in its kernel, who put it there and what for.

``kind`` is its shape, ``status`` what an inventory of the daemon comes to, ``decide`` when that is written, all pure;
``write`` is the agent's task that does it. Nothing in the object moves by itself: no run counts, no times, and memory
in steps, so that a node on which nothing comes or goes costs no write.
"""
