package env

import "log/slog"

// Values of APP_ENV.
const (
	Development = "development"
	Production  = "production"
)

// Values of LOG_FORMAT.
const (
	JSON = "json"
	Text = "text"
)

// Process is what every program can be told about itself.
type Process struct {
	AppEnv          string `env:"APP_ENV" envDefault:"development" doc:"development or production: production refuses weak settings instead of warning"`
	AllowWeakStores bool   `env:"ALLOW_WEAK_STORES" envDefault:"0" doc:"1 = only warn of weak store settings in production, for managed stores that promise durability otherwise"`
	LogLevel        string `env:"LOG_LEVEL" envDefault:"info" doc:"least level that is logged: debug, info, warn or error"`
	LogFormat       string `env:"LOG_FORMAT" envDefault:"json" doc:"json or text"`
	OTLPEndpoint    URL    `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"URL of an OTLP collector for traces; this version sends none yet"`
}

// Validate returns the mistakes of the group.
func (p Process) Validate() []error {
	return []error{
		OneOf("APP_ENV", p.AppEnv, Development, Production),
		OneOf("LOG_FORMAT", p.LogFormat, JSON, Text),
		p.checkLevel(),
	}
}

func (p Process) checkLevel() error {
	if new(slog.Level).UnmarshalText([]byte(p.LogLevel)) == nil {
		return nil
	}
	return Mistake{"LOG_LEVEL", p.LogLevel, "must be one of: debug, info, warn, error"}
}

// Level returns the least level to log.
func (p Process) Level() slog.Level {
	var level slog.Level
	_ = level.UnmarshalText([]byte(p.LogLevel)) // Validate has refused what fails here; info is left
	return level
}

// Production reports whether weak settings are refused rather than warned of.
func (p Process) Production() bool { return p.AppEnv == Production }

// Settings returns the group itself: a program's settings that embed it have this method.
func (p Process) Settings() Process { return p }

// Redis says where the stock is.
type Redis struct {
	URL RedisURL `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" doc:"Redis; rediss:// for TLS, a comma list for a cluster, redis+sentinel://h1,h2/master-name"`
}

// Kafka says where the log is and who we are there.
type Kafka struct {
	Brokers       Brokers `env:"KAFKA_BROKERS" envDefault:"127.0.0.1:9092" doc:"comma list of Kafka brokers"`
	TLS           bool    `env:"KAFKA_TLS" envDefault:"0" doc:"1 = speak TLS to the brokers"`
	SASLMechanism string  `env:"KAFKA_SASL_MECHANISM" doc:"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; not set = no authentication"`
	SASLUsername  string  `env:"KAFKA_SASL_USERNAME" doc:"user at the brokers"`
	SASLPassword  Secret  `env:"KAFKA_SASL_PASSWORD_FILE" doc:"file that holds the password at the brokers"`
}

// Validate returns the mistakes of the group: authentication is set up whole or not at all.
func (k Kafka) Validate() []error {
	const mechanism, username, password = "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE"
	if k.SASLMechanism == "" {
		const lonely = "is set without " + mechanism
		return []error{
			Check(k.SASLUsername == "", username, lonely),
			Check(k.SASLPassword.Reveal() == "", password, lonely),
		}
	}
	const missing = "must be set when " + mechanism + " is"
	return []error{
		OneOf(mechanism, k.SASLMechanism, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
		Check(k.SASLUsername != "", username, missing),
		Check(k.SASLPassword.Reveal() != "", password, missing),
	}
}

// MySQL says where the record is.
type MySQL struct {
	DSN MySQLDSN `env:"MYSQL_DSN" envDefault:"root@tcp(127.0.0.1:3306)/coupon" doc:"MySQL or MariaDB; the parameters we need are added, contradicting ones refused"`
}
