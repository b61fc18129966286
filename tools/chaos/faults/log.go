package faults

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

func logFaults() []Class {
	return []Class{
		{Name: "duplicates and poison in the log", Short: true, Lasts: 5 * time.Second, Fault: duplicatesAndPoison},
		{Name: "late records of a closed epoch", Lasts: 8 * time.Second, Fault: lateRecords},
		{Name: "fences while the log is slow", Lasts: 12 * time.Second, Fault: slowLogFences},
		{Name: "log dark, api-servers killed", Lasts: 8 * time.Second, Fault: killInTheDark},
		{Name: "forged records above the limit", Planted: true, Lasts: 5 * time.Second, Fault: forgedRecords},
		{Name: "forged user in the body", Planted: true, Lasts: 3 * time.Second, Fault: forgedBodies},
	}
}

// produce writes records straight to the log.
func (s *Scene) produce(ctx context.Context, messages ...kafka.Message) error {
	writer := &kafka.Writer{
		Addr: kafka.TCP(strings.Split(s.Kafka.Address, ",")...), Topic: kafkastream.ClaimsTopic, Balancer: &kafka.Hash{},
		RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
	}
	err := writer.WriteMessages(ctx, messages...)
	if closed := writer.Close(); err == nil {
		err = closed
	}
	return err
}

func message(c coupon.Claim) kafka.Message {
	m := kafka.Message{Key: event.Key(c), Value: event.Encode(c)}
	for _, h := range event.Headers(c) {
		m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
	}
	return m
}

// duplicatesAndPoison writes claims once more that are rows already, and what can never be one.
func duplicatesAndPoison(ctx context.Context, s *Scene) error {
	const rounds, pause = 8, 400 * time.Millisecond
	for round := range rounds {
		claims, err := s.issued(ctx, s.Main.ID)
		if err != nil {
			return err
		}
		var messages []kafka.Message
		for _, c := range claims {
			messages = append(messages, message(c))
		}
		if err := s.produce(ctx, append(messages, poison(s.Main.ID, round)...)...); err != nil {
			return err
		}
		if err := world.Pause(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

// issued returns claims that are rows.
func (s *Scene) issued(ctx context.Context, campaign string) (claims []coupon.Claim, err error) {
	rows, err := s.DB.QueryContext(ctx, `SELECT serial, user_id, n, epoch, claimed_at FROM coupons
		WHERE campaign_id = (SELECT id FROM campaigns WHERE slug = ?) ORDER BY serial DESC LIMIT 100`, campaign)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		c := coupon.Claim{Key: coupon.Key{Campaign: campaign}}
		if err := rows.Scan(&c.Serial, &c.User, &c.N, &c.Epoch, &c.ClaimedAt); err != nil {
			return nil, err
		}
		claims = append(claims, c)
	}
	return claims, rows.Err()
}

// poison is records that can never be rows.
func poison(campaign string, round int) []kafka.Message {
	const beyond = 1 << 40
	stranger := coupon.Claim{Key: coupon.Key{Campaign: campaign, User: fmt.Sprintf("stranger-%d", round), N: 1}, Epoch: 1, Serial: beyond, ClaimedAt: time.Now()}
	unknown, many := stranger, stranger
	unknown.Campaign = "no-such-campaign"
	many.N, many.Serial = 99, 1
	return []kafka.Message{
		message(stranger), message(unknown), message(many),
		{Key: []byte("poison"), Value: []byte("not JSON")},
		{Key: []byte("poison"), Value: []byte(`{"v":1}`)},
		{Key: []byte("poison"), Value: []byte(strings.Repeat("[", event.MaxSize))},
		{Key: []byte("poison"), Value: []byte("\x00\xff\xfe")},
		{Key: []byte("poison")},
	}
}

// lateRecords ends the epoch and then writes records of it that nobody was ever told of.
func lateRecords(ctx context.Context, s *Scene) error {
	old, err := s.epoch(ctx, s.Main.ID)
	if err != nil {
		return err
	}
	if err := s.Redis.Client().FlushAll(ctx).Err(); err != nil {
		return err
	}
	const patience, late = 30 * time.Second, 20
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = world.Await(bounded, "there is another epoch", func() bool {
		now, err := s.epoch(bounded, s.Main.ID)
		return err == nil && now.number > old.number
	})
	if err != nil {
		return err
	}
	var messages []kafka.Message
	for i := range int64(late) {
		messages = append(messages, message(coupon.Claim{
			Key: coupon.Key{Campaign: s.Main.ID, User: fmt.Sprintf("too-late-%d", i), N: 1}, Epoch: old.number, Serial: old.hi - i, ClaimedAt: time.Now(),
		}))
	}
	return s.produce(ctx, messages...)
}

type epoch struct{ number, hi int64 }

func (s *Scene) epoch(ctx context.Context, campaign string) (e epoch, err error) {
	err = s.DB.QueryRowContext(ctx, `SELECT epoch, hi FROM campaigns WHERE slug = ? AND epoch_state = 'active'`, campaign).Scan(&e.number, &e.hi)
	return e, err
}

// slowLogFences fences while grants are on their way to a log that is slow to take them.
func slowLogFences(ctx context.Context, s *Scene) error {
	link := s.Link(world.APISide, world.KafkaStore)
	if err := link.Break(world.Slow); err != nil {
		return err
	}
	const times, pause = 5, 2 * time.Second
	for range times {
		if err := s.Redis.Client().FlushAll(ctx).Err(); err != nil {
			return err
		}
		if err := world.Pause(ctx, pause); err != nil {
			return err
		}
	}
	return link.Mend(ctx)
}

// killInTheDark kills the api-servers while nothing they grant reaches the log, and before they notice: the next life, or
// another server, finds it in Redis.
func killInTheDark(ctx context.Context, s *Scene) error {
	link := s.Link(world.APISide, world.KafkaStore)
	if err := link.Break(world.Blackhole); err != nil {
		return err
	}
	const unnoticed = 800 * time.Millisecond
	if err := world.Pause(ctx, unnoticed); err != nil {
		return err
	}
	for _, server := range s.Servers {
		if err := server.Kill(); err != nil {
			return err
		}
	}
	if err := world.Pause(ctx, short); err != nil {
		return err
	}
	return link.Mend(ctx)
}

// forgedRecords lowers the limit of a fresh campaign to what is taken and writes records with serials that the epoch once
// could give. Only the walls around the rows can refuse them.
func forgedRecords(ctx context.Context, s *Scene) error {
	e, err := s.epoch(ctx, s.Small.ID)
	if err != nil {
		return err
	}
	const above, pause = 20, 3 * time.Second
	if _, _, err := s.Operate(ctx, "POST", "/campaigns/"+s.Small.ID+"/limit-adjustments", map[string]any{"delta": above, "reason": "chaos"}); err != nil {
		return err
	}
	if _, _, err := s.Operate(ctx, "POST", "/campaigns/"+s.Small.ID+"/limit-adjustments", map[string]any{"delta": -above, "reason": "chaos"}); err != nil {
		return err
	}
	var messages []kafka.Message
	for i := range int64(above) {
		messages = append(messages, message(coupon.Claim{
			Key: coupon.Key{Campaign: s.Small.ID, User: fmt.Sprintf("forged-%d", i), N: 1}, Epoch: e.number, Serial: e.hi + 1 + i, ClaimedAt: time.Now(),
		}))
	}
	if err := s.produce(ctx, messages...); err != nil {
		return err
	}
	if err := world.Pause(ctx, pause); err != nil {
		return err
	}
	// They hold no place, so that an operator who throws them away gives none back.
	_, err = s.DB.ExecContext(ctx, `UPDATE failed_events SET status = 'dead' WHERE user_id LIKE 'forged-%'`)
	return err
}

// forgedBodies applies for others, who never come themselves.
func forgedBodies(ctx context.Context, s *Scene) error {
	const times = 20
	for i := range times {
		url := s.server().URL + "/v1/campaigns/" + s.Main.ID + "/apply"
		_, _, _ = world.Call(ctx, "POST", url, "forger", map[string]any{"n": 1, "user_id": fmt.Sprintf("victim-%d", i)}) // refused
	}
	return nil
}
