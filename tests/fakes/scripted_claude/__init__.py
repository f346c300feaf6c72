"""A program that stands in for the Claude CLI where a test needs what the real one can't show.

It paints the prompt, takes pastes and Enter on its terminal, posts the same hooks and writes a
transcript of the same shape. What it does is scripted: faults by a JSON file (`script`), turns by
the prompt's own lines that begin with `%` (`steps`). Tests install it with `ScriptedClaude`
(`installed`). It uses the standard library alone, and starts in a few milliseconds.
"""
