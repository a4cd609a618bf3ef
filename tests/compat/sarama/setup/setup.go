// Package setup makes the configuration that the programs share.
package setup

import (
	"log"
	"os"

	"github.com/IBM/sarama"
)

// Config returns Sarama's defaults for a protocol version such as "2.8.0"; "newest" is the newest
// one that Sarama knows. What Sarama has to say goes to standard error.
func Config(version string) *sarama.Config {
	config := sarama.NewConfig()
	if version == "newest" {
		config.Version = sarama.MaxVersion
	} else {
		parsed, err := sarama.ParseKafkaVersion(version)
		if err != nil {
			log.Fatal(err)
		}
		config.Version = parsed
	}
	sarama.Logger = log.New(os.Stderr, "sarama: ", log.LstdFlags)
	return config
}
