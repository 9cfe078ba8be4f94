"""Numbered SQL files, one per dialect; each is applied once and its hash is kept."""
