package main

import (
	"github.com/seonchak/seonchak/pkg/env"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// Values of AUTH_MODE.
const (
	authJWT = "jwt"
	authDev = "dev"
)

// minSecret is the length in bytes below which an HMAC secret can be guessed.
const minSecret = 32

// config is what the api-server reads from its environment.
type config struct {
	env.Process
	env.Redis
	env.Kafka
	env.MySQL

	HTTPAddr  env.Address `env:"HTTP_ADDR" envDefault:":8080" doc:"address of the public listener"`
	AdminAddr env.Address `env:"ADMIN_ADDR" envDefault:":8081" doc:"address of the admin listener: probes, metrics, /admin/v1; loopback only with AUTH_MODE=dev"`
	PProf     bool        `env:"PPROF" envDefault:"0" doc:"1 = serve /debug/pprof/ on the admin listener"`

	AuthMode string     `env:"AUTH_MODE" envDefault:"jwt" doc:"jwt, or dev: the user is taken from X-User-Id and nobody is authenticated"`
	Secret   env.Secret `env:"JWT_HMAC_SECRET" doc:"secret of the HS256 tokens, at least 32 bytes; or JWT_HMAC_SECRET_FILE"`
	Issuer   string     `env:"JWT_ISSUER" doc:"the iss a token must have; not set = any"`
	Audience string     `env:"JWT_AUDIENCE" doc:"an aud a token must have; not set = any"`

	Queue    int    `env:"APPLY_QUEUE" envDefault:"8192" doc:"applies waiting or being worked on; above it they are answered overloaded"`
	Batch    int    `env:"APPLY_BATCH" envDefault:"128" doc:"claims of one campaign in one call to Redis, and a quarter of those of all"`
	InFlight int    `env:"PUBLISH_IN_FLIGHT" envDefault:"2000" doc:"grants being published at once; above it they are answered pending and swept"`
	Group    string `env:"KAFKA_GROUP" envDefault:"coupon-issuer" doc:"consumer group whose lag the stats show"`
}

// Validate returns the mistakes that concern the api-server alone.
func (c config) Validate() []error {
	mistakes := []error{
		env.OneOf("AUTH_MODE", c.AuthMode, authJWT, authDev),
		env.Between("APPLY_QUEUE", c.Queue, 1, 1_000_000),
		env.Between("APPLY_BATCH", c.Batch, 1, 256),
		env.Between("PUBLISH_IN_FLIGHT", c.InFlight, 1, 100_000),
		env.Check(c.Group != "", "KAFKA_GROUP", "must be set"),
		env.Wrong("REDIS_URL", redisstock.CheckURL(c.URL.Reveal())),
		env.Wrong("MYSQL_DSN", mysqlstore.CheckDSN(c.DSN.Reveal())),
		env.Wrong("KAFKA_BROKERS", c.stream().Validate()),
	}
	if c.dev() {
		return append(mistakes, env.Check(!c.Production(), "AUTH_MODE", "dev is refused with APP_ENV=production"))
	}
	return append(mistakes, env.Check(len(c.Secret.Reveal()) >= minSecret, "JWT_HMAC_SECRET", "must be set to at least 32 bytes"))
}

func (c config) dev() bool { return c.AuthMode == authDev }

func (c config) stream() kafkastream.Config {
	return kafkastream.Config{
		Brokers: c.Brokers, TLS: c.TLS, SASLMechanism: c.SASLMechanism,
		SASLUsername: c.SASLUsername, SASLPassword: c.SASLPassword.Reveal(), ClientID: "api-server",
	}
}
