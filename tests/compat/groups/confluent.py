"""A member of a group by confluent-kafka (librdkafka): confluent.py BROKER GROUP TOPIC ASSIGNOR"""
import sys

import confluent_kafka

broker, group, topic, assignor = sys.argv[1:5]
consumer = confluent_kafka.Consumer({
    'bootstrap.servers': broker,
    'group.id': group,
    'auto.offset.reset': 'earliest',
    'auto.commit.interval.ms': 200,
    'session.timeout.ms': 6000,
    'heartbeat.interval.ms': 500,
    'partition.assignment.strategy': assignor,
})
consumer.subscribe([topic])
while True:
    message = consumer.poll(0.2)
    if message is not None and message.error() is None:
        print(message.value().decode(), flush=True)
