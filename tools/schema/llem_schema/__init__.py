"""Turns extraction reports of an engine's parameters and rules into a plugin's data files."""
