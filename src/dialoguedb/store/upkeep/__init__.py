"""What the owner of a PostgreSQL database does with it: its schema, its roles, its health."""
