"""The four services; none imports another, they meet on the bus."""
