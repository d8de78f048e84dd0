"""What identity knows without asking anybody: no clock, no store, no bus."""
