package worker

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/event"
	"github.com/seonchak/seonchak/pkg/kafkastream"
)

// gate is a partition of its own.
const gate = 99

// recordedSource and recordedRecord tell the bench what was done, when it was done.
type (
	recordedSource struct{ *bench }
	recordedRecord struct{ *bench }
)

// Fetch gives a barrier first, and the rest only once the worker is busy committing it: what the log holds by then is
// queued behind it and becomes one batch.
func (r recordedSource) Fetch(ctx context.Context) (kafkastream.Record, error) {
	if !r.begun.Swap(true) {
		return kafkastream.Record{Partition: gate, Headers: event.BarrierHeaders("gate")}, nil
	}
	<-r.atGate
	return r.source.fetch(ctx)
}

func (r recordedSource) Commit(ctx context.Context, records []kafkastream.Record) error {
	if records[0].Partition == gate {
		close(r.atGate)
		<-r.open
		return nil
	}
	err := r.source.commit(ctx, records)
	var offsets []int64
	for _, record := range records {
		offsets = append(offsets, record.Offset)
	}
	r.step("commit", fmt.Sprintf("%d-%d", slices.Min(offsets), slices.Max(offsets))+failed(err))
	return err
}

func (r recordedRecord) Issue(ctx context.Context, campaign string, d []coupon.Delivery) ([]coupon.Result, error) {
	results, err := r.record.issue(ctx, campaign, d)
	r.step("issue", campaign, strconv.Itoa(len(d))+failed(err))
	return results, err
}

func (r recordedRecord) Park(ctx context.Context, events []coupon.FailedEvent) error {
	err := r.record.park(ctx, events)
	r.step("park", strconv.Itoa(len(events))+failed(err))
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.parked = append(r.parked, events...)
	}
	return err
}

func (r recordedRecord) Ping(ctx context.Context) error { return r.record.ping(ctx) }

func failed(err error) string {
	if err == nil {
		return ""
	}
	return " failed"
}
