"""The store: databases, statements, migrations, and functions of a transaction."""
