"""The command line ``kubectl skep``: one file per verb, in the style of ``skep``'s own.

``root`` lists the verbs, ``asked`` has kubectl's options and opens the cluster, ``skep.kube.plugin`` makes the values
that are printed here.
"""

from __future__ import annotations
