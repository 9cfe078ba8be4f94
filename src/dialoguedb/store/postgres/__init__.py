"""A store on PostgreSQL, also spread by Citus."""
