"""What ``kubectl skep`` knows: objects of a cluster, read with the user's rights, as what a person wants to see.

``door`` asks, through kubectl, so that every way in which kubectl can log in is one of ours. All other modules are
pure: documents in, values out; ``skep.cli.kubectl`` prints them.
"""

from __future__ import annotations
