"""Outsiders: other people's synthesizers, each in an interpreter of its own, reached through a child process."""
