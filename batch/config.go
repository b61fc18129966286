package main

import "github.com/seonchak/seonchak/pkg/env"

// settings are what the environment says. What differs from run to run is a flag.
type settings struct {
	env.Process
	env.Redis
	env.Kafka
	env.MySQL

	Group             string `env:"KAFKA_GROUP" envDefault:"coupon-issuer" doc:"the consumers' group, whose lag reconcile reads"`
	ReplicationFactor int    `env:"KAFKA_REPLICATION_FACTOR" envDefault:"3" doc:"copies of each record of a topic that migrate creates; 1 on a single broker, with a warning"`
}

// Validate returns the mistakes that no group sees.
func (s settings) Validate() []error {
	return []error{env.Between("KAFKA_REPLICATION_FACTOR", s.ReplicationFactor, 1, 32767)}
}
