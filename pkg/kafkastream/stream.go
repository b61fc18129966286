// Package kafkastream is both ends of the log that makes a claim durable: a producer that says when every in-sync replica
// has it, a group reader that commits nothing by itself, and the administration of the topics.
package kafkastream

import (
	"strconv"

	"github.com/seonchak/seonchak/pkg/event"
)

// ClaimsTopic is the topic of claims.
const ClaimsTopic = "coupon.claims"

// Partitions is how many partitions ClaimsTopic has. It is never changed afterwards: the keys would move.
const Partitions = 12

// Record is one record as it was read.
type Record struct {
	Topic         string
	Partition     int
	Offset        int64
	Key, Value    []byte
	Headers       []event.Header
	HighWaterMark int64 // the partition's end when the record was fetched: HighWaterMark - Offset - 1 are behind it
}

// Position returns topic:partition:offset, which names the record for ever.
func (r Record) Position() string {
	return r.Topic + ":" + strconv.Itoa(r.Partition) + ":" + strconv.FormatInt(r.Offset, 10)
}
