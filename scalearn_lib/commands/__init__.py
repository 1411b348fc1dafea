"""What each command of `scalearn` does, from its parsed arguments.

Each imports what it needs when it is called: torch and the trainers take seconds, and `scalearn --help` should not.
"""
