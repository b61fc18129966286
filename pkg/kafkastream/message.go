package kafkastream

import (
	"bytes"
	"io"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
)

// message is one claim on its way to the log. Its bytes are never written to again: a request that was given up may
// still be reading them.
type message struct {
	key, value []byte
	headers    []event.Header
	partition  int32 // once it is routed
	deadline   time.Time
	done       func(error)
}

func newMessage(claim coupon.Claim, deadline time.Time, done func(error)) *message {
	return &message{
		key:      event.Key(claim),
		value:    event.Encode(claim),
		headers:  event.Headers(claim),
		deadline: deadline,
		done:     done,
	}
}

// records reads a batch out to the encoder, once. An attempt gets one of its own: an earlier attempt that was given up
// may still be reading its.
type records struct {
	batch      []*message
	next       int
	record     kafka.Record
	key, value payload
}

// ReadRecord returns the next record, which is valid until the next call. Its time is left zero, which means now.
func (r *records) ReadRecord() (*kafka.Record, error) {
	if r.next == len(r.batch) {
		return nil, io.EOF
	}
	m := r.batch[r.next]
	r.next++
	r.key.Reset(m.key)
	r.value.Reset(m.value)
	r.record.Key, r.record.Value = &r.key, &r.value
	r.record.Headers = r.record.Headers[:0]
	for _, h := range m.headers {
		r.record.Headers = append(r.record.Headers, kafka.Header(h))
	}
	return &r.record, nil
}

type payload struct{ bytes.Reader }

func (*payload) Close() error { return nil }
