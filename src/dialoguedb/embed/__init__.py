"""Embedders: text to vectors, by the bundled static model or by one that is configured."""
