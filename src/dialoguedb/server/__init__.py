"""The HTTP edge: routing, keys, limits, answers. Rules live below, in the engine."""
