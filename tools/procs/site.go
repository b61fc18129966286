package procs

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/seonchak/seonchak/pkg/kafkastream"
)

// Stores are the addresses of the stores, as the programs read them from their environment.
type Stores struct {
	Redis string // REDIS_URL
	Kafka string // KAFKA_BROKERS
	MySQL string // MYSQL_DSN
}

// StoresFrom reads the addresses with a function such as os.Getenv. The error names what is missing.
func StoresFrom(getenv func(string) string) (Stores, error) {
	s := Stores{Redis: getenv("REDIS_URL"), Kafka: getenv("KAFKA_BROKERS"), MySQL: getenv("MYSQL_DSN")}
	var missing []error
	for variable, value := range map[string]string{"REDIS_URL": s.Redis, "KAFKA_BROKERS": s.Kafka, "MYSQL_DSN": s.MySQL} {
		if value == "" {
			missing = append(missing, fmt.Errorf("%s is not set", variable))
		}
	}
	slices.SortFunc(missing, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return s, errors.Join(missing...)
}

// Site is a private place on shared stores: a database of its own, and a consumer group of its own that begins at the end
// of the log. Campaign ids are not private: Redis and the log are shared, so they must be new. The programs run with
// AUTH_MODE=dev.
type Site struct {
	DSN   string // of the private database
	Group string // KAFKA_GROUP
	Dir   string // of the logs

	bin       string
	stores    Stores
	admin     *kafkastream.Admin
	mu        sync.Mutex
	processes []*Process
}

// APIServer is a running api-server.
type APIServer struct {
	*Process
	URL   string // of the public listener, without a slash at the end
	Admin string // of the admin listener
}

// Consumer is a running consumer.
type Consumer struct {
	*Process
	Admin string // of the admin listener
}

// NewSite makes a site with the programs in the folder bin; their logs go to dir. `batch migrate` has run when it returns.
func NewSite(ctx context.Context, stores Stores, bin, dir string) (*Site, error) {
	config, err := mysql.ParseDSN(stores.MySQL)
	if err != nil {
		return nil, fmt.Errorf("MYSQL_DSN: %w", err)
	}
	name := token()
	config.DBName = "site_" + name
	s := &Site{
		DSN: config.FormatDSN(), Group: "site-" + name, Dir: dir, bin: bin, stores: stores,
		admin: kafkastream.NewAdmin(kafkastream.Config{Brokers: strings.Split(stores.Kafka, ","), ClientID: "site"}),
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Site) prepare(ctx context.Context) error {
	output, code, err := s.Batch(ctx, "migrate")
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("batch migrate: exit code %d:\n%s", code, output)
	}
	return s.admin.SeekToEnd(ctx, s.Group, kafkastream.ClaimsTopic)
}

// StartAPIServer starts one more api-server on free ports; env is added to its environment.
func (s *Site) StartAPIServer(ctx context.Context, env ...string) (*APIServer, error) {
	return s.StartOther(ctx, s.spec("api-server").Binary, env...)
}

// StartOther starts one more api-server of another build, a file, on free ports; env is added to its environment.
func (s *Site) StartOther(ctx context.Context, binary string, env ...string) (*APIServer, error) {
	public, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	spec := s.spec("api-server")
	spec.Binary = binary
	p, admin, err := s.start(ctx, spec, append([]string{"HTTP_ADDR=" + public}, env...))
	if err != nil {
		return nil, err
	}
	return &APIServer{Process: p, URL: "http://" + public, Admin: admin}, nil
}

// StartConsumer starts one more consumer on a free port; env is added to its environment.
func (s *Site) StartConsumer(ctx context.Context, env ...string) (*Consumer, error) {
	p, admin, err := s.start(ctx, s.spec("consumer"), env)
	if err != nil {
		return nil, err
	}
	return &Consumer{Process: p, Admin: admin}, nil
}

func (s *Site) start(ctx context.Context, spec Spec, env []string) (p *Process, admin string, err error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, "", err
	}
	spec.Env = append(append(spec.Env, "ADMIN_ADDR="+address), env...)
	spec.Ready = "http://" + address + "/readyz"
	p = s.add(spec)
	return p, "http://" + address, p.Restart(ctx)
}

// add makes a process of this site, with a log of its own.
func (s *Site) add(spec Spec) *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec.Log = filepath.Join(s.Dir, fmt.Sprintf("%s-%d.log", spec.Name, len(s.processes)+1))
	p := &Process{spec: spec}
	s.processes = append(s.processes, p)
	return p
}

// StartBatch starts `batch` with args, a schedule as a rule; env is added to its environment. It is ready when it is
// started.
func (s *Site) StartBatch(ctx context.Context, args []string, env ...string) (*Process, error) {
	spec := s.spec("batch")
	spec.Args = args
	spec.Env = append(spec.Env, env...)
	p := s.add(spec)
	return p, p.Restart(ctx)
}

// Batch runs `batch` with args to its end and returns its output and exit code.
func (s *Site) Batch(ctx context.Context, args ...string) (output string, code int, err error) {
	spec := s.spec("batch")
	spec.Args = args
	return Run(ctx, spec)
}

func (s *Site) spec(program string) Spec {
	return Spec{
		Name:   program,
		Binary: filepath.Join(s.bin, program),
		Env: []string{
			"AUTH_MODE=dev", "APP_ENV=development", "KAFKA_REPLICATION_FACTOR=1",
			"REDIS_URL=" + s.stores.Redis, "KAFKA_BROKERS=" + s.stores.Kafka, "MYSQL_DSN=" + s.DSN, "KAFKA_GROUP=" + s.Group,
		},
	}
}

// Backlog returns how many records of the log this site's consumers have not finished.
func (s *Site) Backlog(ctx context.Context) (int64, error) {
	partitions, err := s.admin.Lag(ctx, s.Group, kafkastream.ClaimsTopic)
	if err != nil {
		return 0, err
	}
	return kafkastream.TotalLag(partitions), nil
}

// Stop stops every program that still runs, the last started first, and returns what did not end in order. The database
// stays.
func (s *Site) Stop() error {
	s.mu.Lock()
	processes := slices.Clone(s.processes)
	s.mu.Unlock()
	slices.Reverse(processes)
	var failed []error
	for _, p := range processes {
		if r := p.current(); r == nil || !r.alive() {
			continue
		}
		_ = p.Resume() // a paused program cannot stop
		failed = append(failed, p.Stop())
	}
	return errors.Join(failed...)
}

// Close stops every program that still runs and drops the database. The logs stay.
func (s *Site) Close() error {
	failed := s.Stop()
	s.admin.Close()
	return errors.Join(failed, s.drop())
}

func (s *Site) drop() error {
	const bound = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	config, err := mysql.ParseDSN(s.DSN)
	if err != nil {
		return fmt.Errorf("drop the database: %w", err)
	}
	name := config.DBName
	config.DBName = ""
	db, err := sql.Open("mysql", config.FormatDSN())
	if err != nil {
		return fmt.Errorf("drop the database: %w", err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	return nil
}

func token() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails: it aborts the process instead
	return hex.EncodeToString(b[:])
}
