package e2e

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
)

// poison is a record that can never become a row.
type poison struct {
	value    []byte
	reason   coupon.FailureReason
	position string // once it is in the log
}

// poisons returns count of them, of every kind by turns. All but the empty ones differ from each other.
func poisons(campaign string, limit, count int) []*poison {
	claim := func(c coupon.Claim, user string) []byte {
		c.User, c.N, c.ClaimedAt = user, 1, time.Now()
		return event.Encode(c)
	}
	here := coupon.Key{Campaign: campaign}
	nowhere := coupon.Key{Campaign: testenv.Campaign()}
	all := make([]*poison, count)
	for i := range all {
		user := fmt.Sprintf("poison-%d", i)
		kinds := []*poison{
			{reason: coupon.ReasonMalformed, value: fmt.Appendf(nil, "\x00\xffgarbage %s", user)},
			{reason: coupon.ReasonMalformed, value: []byte{}},
			{reason: coupon.ReasonMalformed, value: append(bytes.Repeat([]byte(" "), event.MaxSize), claim(coupon.Claim{Key: here, Epoch: 1, Serial: 1}, user)...)},
			{reason: coupon.ReasonMalformed, value: bytes.Replace(claim(coupon.Claim{Key: here, Epoch: 1, Serial: 1}, user), []byte(`"v":1`), []byte(`"v":2`), 1)},
			{reason: coupon.ReasonUnknownCampaign, value: claim(coupon.Claim{Key: nowhere, Epoch: 1, Serial: 1}, user)},
			{reason: coupon.ReasonSerialRange, value: claim(coupon.Claim{Key: here, Epoch: 1, Serial: int64(limit + 1 + i)}, user)},
		}
		all[i] = kinds[i%len(kinds)]
	}
	return all
}

// TestPoison puts 100 bad records between good ones. Each is kept with its bytes, the good ones become rows, and reading
// all of it again changes nothing.
func TestPoison(t *testing.T) {
	const limit, people, bad = 200, 150, 100
	stores := sharedStores(t)
	s := newSite(t, programs(t), stores)
	server := s.apiServer()
	campaign := s.campaign(limit, 1, server)
	journal := s.journal()
	crowd := s.crowd(journal, campaign, 16, server)
	log := newLog(t, s.Group)
	begin := log.ends()

	plan, all := drop.Plan(drop.Users(people), people, 5), poisons(campaign, limit, bad)
	for i := range 5 {
		require.NoError(t, crowd.Run(t.Context(), plan[i*people/5:(i+1)*people/5]))
		log.append(all[i*bad/5 : (i+1)*bad/5])
	}
	s.settle(crowd, journal)
	consumer := s.consumer()
	s.rest(campaign, people)
	s.requireDead(all)
	s.verdict(campaign, journal)

	require.NoError(t, consumer.Stop())
	log.seek(begin)
	backlog, err := s.Backlog(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, backlog, int64(people+bad), "all of it is delivered again")
	require.NoError(t, consumer.Restart(t.Context()))
	s.rest(campaign, people)
	s.requireDead(all)
	s.verdict(campaign, journal)
	_, metrics := s.get(consumer.Admin + "/metrics")
	require.Contains(t, metrics, fmt.Sprintf(`coupon_issued_total{campaign=%q,outcome="duplicate"} %d`, campaign, people))
}

// requireDead finds each record under its position, with its bytes, and none of them a second time.
func (s *site) requireDead(all []*poison) {
	s.tb.Helper()
	for _, p := range all {
		var payload []byte
		var status coupon.FailureStatus
		var reason coupon.FailureReason
		row := s.db.QueryRowContext(s.tb.Context(), `SELECT payload, status, reason FROM failed_events WHERE event_key = ?`, p.position)
		require.NoError(s.tb, row.Scan(&payload, &status, &reason), "%s %.80q", p.position, p.value)
		require.Equal(s.tb, p.value, payload)
		require.Equal(s.tb, coupon.FailureDead, status)
		require.Equal(s.tb, p.reason, reason, "%.80q", p.value)
		if len(p.value) > 0 {
			require.Equal(s.tb, 1, s.number(`SELECT COUNT(*) FROM failed_events WHERE payload = ?`, p.value))
		}
	}
}

// log is the topic of claims as somebody with a plain Kafka client sees it, and the offsets of one group.
type log struct {
	tb     testing.TB
	group  string
	client *kafka.Client
	next   int
}

func newLog(tb testing.TB, group string) *log {
	tb.Helper()
	transport := &kafka.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	return &log{tb: tb, group: group, client: &kafka.Client{
		Addr: kafka.TCP(testenv.Kafka(tb)...), Timeout: 10 * time.Second, Transport: transport,
	}}
}

// append writes the records to the partitions by turns.
func (l *log) append(all []*poison) {
	l.tb.Helper()
	for _, p := range all {
		partition := l.next % kafkastream.Partitions
		l.next++
		response, err := l.client.Produce(l.tb.Context(), &kafka.ProduceRequest{
			Topic: kafkastream.ClaimsTopic, Partition: partition, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(p.value)}),
		})
		require.NoError(l.tb, err)
		require.NoError(l.tb, response.Error)
		p.position = fmt.Sprintf("%s:%d:%d", kafkastream.ClaimsTopic, partition, response.BaseOffset)
	}
}

// ends returns where each partition ends.
func (l *log) ends() []int64 {
	l.tb.Helper()
	requests := make([]kafka.OffsetRequest, kafkastream.Partitions)
	for i := range requests {
		requests[i] = kafka.LastOffsetOf(i)
	}
	response, err := l.client.ListOffsets(l.tb.Context(), &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{kafkastream.ClaimsTopic: requests},
	})
	require.NoError(l.tb, err)
	ends := make([]int64, kafkastream.Partitions)
	for _, p := range response.Topics[kafkastream.ClaimsTopic] {
		require.NoError(l.tb, p.Error)
		ends[p.Partition] = p.LastOffset
	}
	return ends
}

// seek lets the group, which must have no members, read again from these offsets.
func (l *log) seek(offsets []int64) {
	l.tb.Helper()
	commits := make([]kafka.OffsetCommit, len(offsets))
	for i, offset := range offsets {
		commits[i] = kafka.OffsetCommit{Partition: i, Offset: offset}
	}
	await(l.tb, "the group is empty", func() bool {
		ctx, cancel := context.WithTimeout(l.tb.Context(), 10*time.Second)
		defer cancel()
		response, err := l.client.OffsetCommit(ctx, &kafka.OffsetCommitRequest{
			GroupID: l.group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{kafkastream.ClaimsTopic: commits},
		})
		require.NoError(l.tb, err)
		for _, p := range response.Topics[kafkastream.ClaimsTopic] {
			if p.Error != nil {
				return false
			}
		}
		return true
	})
}
