"""The command line ``skep``: one file per noun. Only this package prints.

``main`` starts it, ``root`` lists the commands, ``session`` finds the daemon (or opens the Manager directly), ``exit``
maps errors to exit codes, ``output`` and ``table`` print, ``document`` makes the JSON that bpfman's scripts read.
Imports are late wherever a command does not need them: ``skep --help`` reads none of the commands' modules.
"""

from __future__ import annotations
