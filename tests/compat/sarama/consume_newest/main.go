// Waits for one message that arrives after it has begun, with Sarama's partition consumer.
//
// Usage: consume_newest BROKER VERSION TOPIC PARTITION
// Prints "ready" when every message that comes now will be seen, then
// "TOPIC PARTITION OFFSET KEY VALUE" of the first one.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"millrace/tests/compat/sarama/setup"

	"github.com/IBM/sarama"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: consume_newest BROKER VERSION TOPIC PARTITION")
	}
	partition, err := strconv.ParseInt(os.Args[4], 10, 32)
	if err != nil {
		log.Fatal(err)
	}

	consumer, err := sarama.NewConsumer([]string{os.Args[1]}, setup.Config(os.Args[2]))
	if err != nil {
		log.Fatalf("connecting: %v", err)
	}
	defer consumer.Close()
	// ConsumePartition asks for the newest offset before it returns.
	messages, err := consumer.ConsumePartition(os.Args[3], int32(partition), sarama.OffsetNewest)
	if err != nil {
		log.Fatalf("consuming: %v", err)
	}
	defer messages.Close()
	fmt.Println("ready")
	select {
	case message := <-messages.Messages():
		fmt.Printf("%s %d %d %s %s\n", message.Topic, message.Partition, message.Offset,
			message.Key, message.Value)
	case <-time.After(30 * time.Second):
		log.Fatal("no message in 30 s")
	}
}
