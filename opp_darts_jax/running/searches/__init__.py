"""Searches, alone or several seeds together."""
