"""One suite that says what a bus is, run over the twin in memory and over RabbitMQ."""
