"""The parts of `make run`: what the components are told, and how they are started and watched."""
