// Package world brings up everything a fault can break: private stores, a proxy on every link to them, and the programs,
// which are started again whenever they die.
package world

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/go-sql-driver/mysql"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/procs"
)

// Side says whose links to the stores are meant.
type Side string

// The sides. The operator's links are never broken: what judges must see.
const (
	APISide      Side = "api-server"
	ConsumerSide Side = "consumer"
	OperatorSide Side = "operator"
)

// Sides are those whose links may be broken.
var Sides = []Side{APISide, ConsumerSide}

// Store is one of the three.
type Store string

// The stores.
const (
	RedisStore Store = "redis"
	KafkaStore Store = "kafka"
	MySQLStore Store = "mysql"
)

// StoresThere are all of them.
var StoresThere = []Store{RedisStore, KafkaStore, MySQLStore}

// Config says where the world lives.
type Config struct {
	Dir     string // of the stores' data and of all logs
	Scripts string // folder of services.sh
}

// World is the stores and the links. A site with programs is put into it by Populate.
type World struct {
	Redis  *Redis
	Kafka  *Service
	MySQL  *Service
	Random *rand.Rand // of the run at hand; used by one goroutine

	config  Config
	network *network
	links   map[Side]map[Store]*Link
	*settlement
}

// settlement is what Populate makes and Clear takes away.
type settlement struct {
	Site      *procs.Site
	DB        *sql.DB // of the site, past every link
	Servers   []*Program
	Consumers []*Program
	Jobs      []*Program
	Bin       string // folder of the programs

	stop   context.CancelFunc
	watch  sync.WaitGroup
	mu     sync.Mutex
	deaths []Death
}

// Open starts the stores and the proxies.
func Open(ctx context.Context, config Config) (w *World, err error) {
	w = &World{config: config, network: newNetwork(), links: map[Side]map[Store]*Link{}, Random: rand.New(rand.NewPCG(0, 0)), settlement: &settlement{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	doors, err := w.startKafka(ctx)
	if err != nil {
		return w, err
	}
	w.MySQL = &Service{Store: MySQLStore, dir: filepath.Join(config.Dir, "mysql"), script: w.script()}
	if err := w.MySQL.up(ctx); err != nil {
		return w, err
	}
	if w.Redis, err = startRedis(ctx, filepath.Join(config.Dir, "redis"), w.network); err != nil {
		return w, err
	}
	return w, w.link(doors)
}

// startKafka starts the broker with a door of its own for each side, so that a side's link can be broken alone.
func (w *World) startKafka(ctx context.Context) (doors map[Side]door, err error) {
	doors = map[Side]door{}
	var option string
	for _, side := range Sides {
		d, err := newDoor()
		if err != nil {
			return nil, err
		}
		doors[side] = d
		option += fmt.Sprintf("%s:%s ", port(d.behind), port(d.front))
	}
	w.Kafka = &Service{Store: KafkaStore, dir: filepath.Join(w.config.Dir, "kafka"), script: w.script(), env: []string{"SEONCHAK_KAFKA_DOORS=" + option}}
	return doors, w.Kafka.up(ctx)
}

func (w *World) script() string { return filepath.Join(w.config.Scripts, "services.sh") }

// link puts a proxy on every link. The operators reach Redis through one too, which is only ever pointed elsewhere.
func (w *World) link(doors map[Side]door) error {
	database, err := mysql.ParseDSN(w.MySQL.Address)
	if err != nil {
		return fmt.Errorf("parse the address of MySQL: %w", err)
	}
	for _, side := range Sides {
		d := doors[side]
		for store, between := range map[Store]door{
			RedisStore: {behind: w.Redis.Address()}, MySQLStore: {behind: database.Addr}, KafkaStore: d,
		} {
			if err := w.addLink(side, store, between); err != nil {
				return err
			}
		}
	}
	return w.addLink(OperatorSide, RedisStore, door{behind: w.Redis.Address()})
}

func (w *World) addLink(side Side, store Store, between door) error {
	l, err := w.network.link(fmt.Sprintf("%s-%s", side, store), between)
	if err != nil {
		return err
	}
	if w.links[side] == nil {
		w.links[side] = map[Store]*Link{}
	}
	w.links[side][store] = l
	return nil
}

// Link returns the link from a side's programs to a store.
func (w *World) Link(side Side, store Store) *Link { return w.links[side][store] }

// PointRedis leads every link to Redis to another server, as a failover does.
func (w *World) PointRedis(ctx context.Context, address string) error {
	var failed []error
	for _, links := range w.links {
		failed = append(failed, links[RedisStore].Point(ctx, address))
	}
	return errors.Join(failed...)
}

// environment is what leads a side's programs to the stores.
func (w *World) environment(side Side) []string {
	return []string{
		"REDIS_URL=redis://" + w.links[side][RedisStore].Address + "/0",
		"KAFKA_BROKERS=" + w.links[side][KafkaStore].Address,
		"MYSQL_DSN=" + throughLink(w.Site.DSN, w.links[side][MySQLStore].Address),
	}
}

func throughLink(dsn, address string) string {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return dsn // the programs will say what is wrong with it
	}
	config.Addr = address
	return config.FormatDSN()
}

// Programs returns every program, in the order they are started.
func (w *World) Programs() []*Program { return slices.Concat(w.Consumers, w.Servers, w.Jobs) }

// Close ends everything and removes the stores' data. The logs of the programs stay.
func (w *World) Close() error {
	failed := w.Clear()
	if w.Redis != nil {
		failed = errors.Join(failed, w.Redis.close())
	}
	for _, s := range []*Service{w.Kafka, w.MySQL} {
		if s != nil {
			failed = errors.Join(failed, s.down())
		}
	}
	w.network.close()
	return failed
}

// openDatabase opens the database for judges and for those who break it.
func openDatabase(dsn string) (*sql.DB, error) {
	db, err := drop.Open(dsn)
	if err != nil {
		return nil, err
	}
	const idle = 4
	db.SetMaxIdleConns(idle)
	return db, nil
}

func port(address string) string {
	_, p, _ := net.SplitHostPort(address)
	return p
}

func fresh(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o700)
}
