"""The dialects as their clients meet them: real HTTP in front of the real services on the bus's twin in memory."""
