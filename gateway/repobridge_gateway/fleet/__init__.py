"""Where sessions run: each fleet starts, reaches and stops the runners of bridges."""
