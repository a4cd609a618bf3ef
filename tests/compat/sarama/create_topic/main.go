// Creates a topic through Sarama's cluster admin.
//
// Usage: create_topic BROKER VERSION TOPIC PARTITIONS REPLICATION-FACTOR
// Prints "created TOPIC", or "refused: CODE: MESSAGE" and exits with 2 where the broker refuses.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"

	"millrace/tests/compat/sarama/setup"

	"github.com/IBM/sarama"
)

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: create_topic BROKER VERSION TOPIC PARTITIONS REPLICATION-FACTOR")
	}
	topic := os.Args[3]
	partitions, err := strconv.ParseInt(os.Args[4], 10, 32)
	if err != nil {
		log.Fatal(err)
	}
	factor, err := strconv.ParseInt(os.Args[5], 10, 16)
	if err != nil {
		log.Fatal(err)
	}

	admin, err := sarama.NewClusterAdmin([]string{os.Args[1]}, setup.Config(os.Args[2]))
	if err != nil {
		log.Fatalf("connecting: %v", err)
	}
	defer admin.Close()
	err = admin.CreateTopic(topic, &sarama.TopicDetail{
		NumPartitions:     int32(partitions),
		ReplicationFactor: int16(factor),
	}, false)
	var refusal *sarama.TopicError
	if errors.As(err, &refusal) {
		message := ""
		if refusal.ErrMsg != nil {
			message = *refusal.ErrMsg
		}
		fmt.Printf("refused: %d: %s\n", int16(refusal.Err), message)
		os.Exit(2)
	}
	if err != nil {
		log.Fatalf("creating the topic: %v", err)
	}
	fmt.Printf("created %s\n", topic)
}
