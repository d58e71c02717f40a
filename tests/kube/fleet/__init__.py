"""A fleet: nodes that kwok plays, and their agents in one process, against a real API server and the real operator."""
