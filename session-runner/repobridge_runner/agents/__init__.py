"""The agents that a session can run, behind one interface: `base` names it."""
