package main

import (
	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// authDev is the AUTH_MODE of a system for trying things: its admin listeners are for this machine only.
const authDev = "dev"

// maxBatch is the most rows in one statement: beyond it a longer lock buys no more speed.
const maxBatch = 500

// config is what the consumer reads from its environment.
type config struct {
	env.Process
	env.Redis
	env.Kafka
	env.MySQL

	Group     string      `env:"KAFKA_GROUP" envDefault:"coupon-issuer" doc:"consumer group; the consumers of one share the partitions"`
	Batch     int         `env:"ISSUE_BATCH" envDefault:"500" doc:"most events handled at once, and so rows in one statement"`
	Rate      int         `env:"ISSUE_RATE" envDefault:"0" doc:"most events a second of this consumer, so that a drop cannot starve what else lives on the database; 0 = no limit"`
	AdminAddr env.Address `env:"ADMIN_ADDR" envDefault:":8082" doc:"address of the admin listener: probes, metrics; loopback only with AUTH_MODE=dev"`
	PProf     bool        `env:"PPROF" envDefault:"0" doc:"1 = serve /debug/pprof/ on the admin listener"`
	AuthMode  string      `env:"AUTH_MODE" envDefault:"jwt" doc:"jwt or dev, as the api-server has it"`
}

// Validate returns the mistakes that concern the consumer alone.
func (c config) Validate() []error {
	return []error{
		env.Check(c.Group != "", "KAFKA_GROUP", "must be set"),
		env.Between("ISSUE_BATCH", c.Batch, 1, maxBatch),
		env.Between("ISSUE_RATE", c.Rate, 0, 10_000_000),
		env.OneOf("AUTH_MODE", c.AuthMode, "jwt", authDev),
		env.Wrong("REDIS_URL", redisstock.CheckURL(c.URL.Reveal())),
		env.Wrong("MYSQL_DSN", mysqlstore.CheckDSN(c.DSN.Reveal())),
		env.Wrong("KAFKA_BROKERS", c.stream().Validate()),
	}
}

func (c config) stream() kafkastream.Config {
	return kafkastream.Config{
		Brokers: c.Brokers, TLS: c.TLS, SASLMechanism: c.SASLMechanism,
		SASLUsername: c.SASLUsername, SASLPassword: c.SASLPassword.Reveal(), ClientID: "consumer",
	}
}
