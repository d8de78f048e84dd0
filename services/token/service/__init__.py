"""What `token` does: grants, clients, and the end of what they yield. One method per call and per event."""
