"""One job, from its claim to its recorded ranking."""
