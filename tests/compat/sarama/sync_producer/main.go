// Sends one message with Sarama's synchronous producer, acknowledged by all replicas.
//
// Usage: sync_producer BROKER VERSION TOPIC PARTITION KEY VALUE
// Prints "sent TOPIC PARTITION OFFSET".
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"

	"millrace/tests/compat/sarama/setup"

	"github.com/IBM/sarama"
)

func main() {
	if len(os.Args) != 7 {
		log.Fatal("usage: sync_producer BROKER VERSION TOPIC PARTITION KEY VALUE")
	}
	partition, err := strconv.ParseInt(os.Args[4], 10, 32)
	if err != nil {
		log.Fatal(err)
	}

	config := setup.Config(os.Args[2])
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Retry.Max = 5
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer([]string{os.Args[1]}, config)
	if err != nil {
		log.Fatalf("connecting: %v", err)
	}
	defer producer.Close()
	got, offset, err := producer.SendMessage(&sarama.ProducerMessage{
		Topic:     os.Args[3],
		Partition: int32(partition),
		Key:       sarama.StringEncoder(os.Args[5]),
		Value:     sarama.StringEncoder(os.Args[6]),
	})
	if err != nil {
		log.Fatalf("sending: %v", err)
	}
	fmt.Printf("sent %s %d %d\n", os.Args[3], got, offset)
}
