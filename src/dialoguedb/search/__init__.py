"""What search needs that is pure: words, texts, filters, ranking. No input, no output."""
