"""What services promise each other: the wire format and the bus."""
