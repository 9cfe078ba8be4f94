"""DialogueDB: an open, self-hostable conversation database."""

__version__ = "0.1.0"
