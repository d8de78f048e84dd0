"""Typed calls and events over RabbitMQ, with a twin in memory; `bus.Bus` is what components see."""
