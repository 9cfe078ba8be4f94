"""The words of the wire: Structs of requests and answers, and what their values must be."""
