"""What the gateway must not forget: messages, gaps, pieces on their way, decisions."""
