package worker

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/testenv"
)

// stage is a topic and a database of one test.
type stage struct {
	t      *testing.T
	topic  string
	store  *mysqlstore.Store
	config kafkastream.Config
	admin  *kafkastream.Admin
}

func newStage(t *testing.T) *stage {
	config := kafkastream.Config{Brokers: testenv.Kafka(t), ClientID: "test"}
	store, err := mysqlstore.Open(testenv.MySQL(t)+"?innodb_lock_wait_timeout=1", mysqlstore.Options{})
	require.NoError(t, err)
	admin := kafkastream.NewAdmin(config)
	t.Cleanup(func() {
		admin.Close()
		_ = store.Close()
	})
	return &stage{t, testenv.Topic(t, partitions), store, config, admin}
}

func (s *stage) openCampaign() string { return openOn(s.t, s.store, perDrop) }

func claimsOf(campaign string, n int) []coupon.Claim {
	claims := make([]coupon.Claim, n)
	for i := range claims {
		claims[i] = coupon.Claim{
			Key:   coupon.Key{Campaign: campaign, User: fmt.Sprintf("u-%04d", i+1), N: 1},
			Epoch: 1, Serial: int64(i + 1), ClaimedAt: time.Now(),
		}
	}
	return claims
}

func poisonOf(campaign string) [][]byte {
	claim := claimsOf(campaign, 1)[0]
	claim.User = "u-poison"
	nowhere, outside := claim, claim
	nowhere.Campaign = "no-such-campaign"
	outside.Serial = perDrop + 1
	kinds := [][]byte{
		[]byte("\x00\xffgarbage"),
		{},
		bytes.Repeat([]byte("x"), event.MaxSize+1),
		bytes.Replace(event.Encode(claim), []byte(`"v":1`), []byte(`"v":2`), 1),
		event.Encode(nowhere),
		event.Encode(outside),
	}
	all := make([][]byte, poisonous)
	for i := range all {
		all[i] = kinds[i%len(kinds)]
	}
	return all
}

// publish spreads claims, and poison among them, over the partitions and returns the poison by its position.
func (s *stage) publish(claims []coupon.Claim, poison [][]byte) map[string][]byte {
	var records [partitions][]kafka.Record
	at := make(map[string][]byte)
	every := len(claims) / max(1, len(poison))
	for i, c := range claims {
		p := i % partitions
		if len(poison) > 0 && i%every == 0 {
			at[fmt.Sprintf("%s:%d:%d", s.topic, p, len(records[p]))] = poison[0]
			records[p] = append(records[p], kafka.Record{Value: kafka.NewBytes(poison[0])})
			poison = poison[1:]
		}
		records[p] = append(records[p], kafka.Record{Key: kafka.NewBytes(event.Key(c)), Value: kafka.NewBytes(event.Encode(c))})
	}
	client := &kafka.Client{Addr: kafka.TCP(s.config.Brokers...), Timeout: 10 * time.Second}
	for p := range records {
		response, err := client.Produce(s.t.Context(), &kafka.ProduceRequest{
			Topic: s.topic, Partition: p, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(records[p]...),
		})
		require.NoError(s.t, err)
		require.NoError(s.t, response.Error)
		require.Zero(s.t, response.BaseOffset)
	}
	return at
}

// crew is one worker at work.
type crew struct {
	issued  atomic.Int64
	stop    context.CancelFunc
	ended   chan error
	metrics *Metrics
}

// work starts a worker. One that dies does so in the middle of its third batch: the rows are committed, the offsets are
// not.
func (s *stage) work(group string, dies bool) *crew {
	ctx, stop := context.WithCancel(s.t.Context())
	c := &crew{stop: stop, ended: make(chan error, 1), metrics: NewMetrics(prometheus.NewRegistry())}
	reader := kafkastream.NewReader(s.config, group, s.topic, slog.New(slog.DiscardHandler))
	config := Config{Batch: 100, Lanes: 4, Patience: 2 * time.Second, Drain: 20 * time.Second, Now: time.Now}
	if dies {
		config.Drain = 0
	}
	w := New(reader, &mortal{s.store, c, dies}, config, c.metrics, slog.New(slog.DiscardHandler))
	go func() {
		err := w.Run(ctx)
		c.ended <- errors.Join(err, reader.Close())
	}()
	s.t.Cleanup(stop)
	return c
}

type mortal struct {
	*mysqlstore.Store
	crew *crew
	dies bool
}

func (m *mortal) Issue(ctx context.Context, campaign string, d []coupon.Delivery) ([]coupon.Result, error) {
	results, err := m.Store.Issue(ctx, campaign, d)
	if m.crew.issued.Add(int64(len(d))) > 200 && m.dies {
		m.crew.stop()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return results, err
}

func (c *crew) end(t *testing.T) {
	t.Helper()
	c.stop()
	require.NoError(t, <-c.ended)
}

// sum returns how many records of the campaigns ended in outcome.
func (c *crew) sum(outcome coupon.Outcome, campaigns ...string) (n float64) {
	for _, id := range campaigns {
		n += testutil.ToFloat64(c.metrics.issued.WithLabelValues(id, outcome.String()))
	}
	return n
}

// awaitEnd waits until the group has committed everything that is in the topic.
func (s *stage) awaitEnd(group string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		lags, err := s.admin.Lag(s.t.Context(), group, s.topic)
		if err != nil {
			return false
		}
		for _, p := range lags {
			if !p.Reached(p.End) {
				return false
			}
		}
		return true
	}, time.Minute, 100*time.Millisecond, "the log is not drained")
}

func (s *stage) requireVerdict(campaigns []string, poison map[string][]byte) {
	s.t.Helper()
	for _, id := range campaigns {
		require.Equal(s.t, []int64{perDrop, perDrop, 1, perDrop, perDrop, perDrop}, s.numbers(`
			SELECT COUNT(*), COUNT(DISTINCT user_id), MIN(k.serial), MAX(k.serial), c.issued,
			       SUM(CAST(SUBSTRING(user_id, 3) AS UNSIGNED) = k.serial)
			FROM coupons k JOIN campaigns c ON c.id = k.campaign_id WHERE c.slug = ? GROUP BY c.id`, id))
	}
	rows, err := s.store.DB().QueryContext(s.t.Context(), "SELECT event_key, status, reason, payload FROM failed_events")
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, rows.Close()) }()
	kept := make(map[string][]byte)
	for rows.Next() {
		var key, status, reason string
		var payload []byte
		require.NoError(s.t, rows.Scan(&key, &status, &reason, &payload))
		require.Equal(s.t, string(coupon.FailureDead), status)
		require.Equal(s.t, reasonOf(payload), coupon.FailureReason(reason))
		kept[key] = payload
	}
	require.NoError(s.t, rows.Err())
	require.Equal(s.t, poison, kept)
}

func reasonOf(payload []byte) coupon.FailureReason {
	claim, err := event.Decode(payload)
	switch {
	case err != nil:
		return coupon.ReasonMalformed
	case strings.HasPrefix(claim.Campaign, "no-such"):
		return coupon.ReasonUnknownCampaign
	default:
		return coupon.ReasonSerialRange
	}
}

func (s *stage) numbers(query string, args ...any) []int64 {
	s.t.Helper()
	rows, err := s.store.DB().QueryContext(s.t.Context(), query, args...)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, rows.Close()) }()
	require.True(s.t, rows.Next())
	columns, err := rows.Columns()
	require.NoError(s.t, err)
	values := make([]sql.NullInt64, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	require.NoError(s.t, rows.Scan(into...))
	numbers := make([]int64, len(values))
	for i, v := range values {
		numbers[i] = v.Int64
	}
	return numbers
}
