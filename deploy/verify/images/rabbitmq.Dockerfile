# Stands in for the official image where no registry can be reached: Debian's RabbitMQ with its folders and variables.
ARG BASE
FROM ${BASE}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends rabbitmq-server \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o rabbitmq -g rabbitmq -m 0777 /var/lib/rabbitmq /var/log/rabbitmq \
    && install -d -o rabbitmq -g rabbitmq /etc/rabbitmq/conf.d \
    && echo 'loopback_users.guest = false' >/etc/rabbitmq/conf.d/10-defaults.conf \
    && echo '[].' >/etc/rabbitmq/enabled_plugins
ENV HOME=/var/lib/rabbitmq RABBITMQ_LOGS=- PATH=/usr/lib/rabbitmq/bin:$PATH
VOLUME /var/lib/rabbitmq
EXPOSE 5672
USER rabbitmq
CMD ["rabbitmq-server"]
