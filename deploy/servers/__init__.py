"""PostgreSQL, Redis and RabbitMQ for development and tests, with the standard library alone.

It has to work before anything is installed, so nothing here imports a dependency. `deploy.servers.provide`
is the way in for whoever just needs the three; the classes are for tests that stop or kill one.
"""

from deploy.servers.errors import ServerError
from deploy.servers.postgres import PostgresServer
from deploy.servers.rabbitmq import RabbitServer
from deploy.servers.redis import RedisServer

__all__ = ["PostgresServer", "RabbitServer", "RedisServer", "ServerError"]
