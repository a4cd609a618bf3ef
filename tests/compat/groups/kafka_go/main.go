// A member of a group by segmentio/kafka-go: kafka_go BROKER GROUP TOPIC ASSIGNOR
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

func main() {
	balancers := []kafka.GroupBalancer{kafka.RangeGroupBalancer{}}
	if os.Args[4] == "roundrobin" {
		balancers = []kafka.GroupBalancer{kafka.RoundRobinGroupBalancer{}}
	}
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:           []string{os.Args[1]},
		GroupID:           os.Args[2],
		Topic:             os.Args[3],
		GroupBalancers:    balancers,
		SessionTimeout:    6 * time.Second,
		HeartbeatInterval: 500 * time.Millisecond,
		CommitInterval:    200 * time.Millisecond,
		StartOffset:       kafka.FirstOffset,
		MaxWait:           200 * time.Millisecond,
	})
	for {
		message, err := reader.ReadMessage(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(message.Value))
	}
}
