"""The gateway: routes people's messages to bridges and shows what comes back."""
