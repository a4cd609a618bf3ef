"""A member of a group by kafka-python: kafka_python.py BROKER GROUP TOPIC ASSIGNOR"""
import sys

import kafka
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

broker, group, topic, assignor = sys.argv[1:5]
strategies = {'range': RangePartitionAssignor, 'roundrobin': RoundRobinPartitionAssignor}
consumer = kafka.KafkaConsumer(
    topic,
    bootstrap_servers=broker,
    group_id=group,
    auto_offset_reset='earliest',
    auto_commit_interval_ms=200,
    session_timeout_ms=6000,
    heartbeat_interval_ms=500,
    partition_assignment_strategy=[strategies[assignor]])
for message in consumer:
    print(message.value.decode(), flush=True)
