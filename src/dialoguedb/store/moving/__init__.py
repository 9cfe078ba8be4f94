"""Copying a database into another one, whatever their engines are."""
