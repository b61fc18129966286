package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/outbox"
)

// viewsGone is how long an epoch has been active when it may be opened in Redis: no server's view is of the one before.
const viewsGone = 2 * time.Second

// sweeper publishes again the pending claims of an epoch that are due.
type sweeper interface {
	Sweep(ctx context.Context, campaign string, epoch int64, overdue time.Duration) (outbox.Swept, error)
}

// publisher appends claims to the log; a nil error for a claim means that all in-sync replicas have it.
type publisher interface {
	PublishAll(ctx context.Context, claims []coupon.Claim) []error
}

// desk takes wishes. WantFence must do nothing but ask; FinishLowering must settle no other lowering than the document's, and
// answer coupon.CodeLimitBelowClaimed when it ended with the limit as it was.
type desk interface {
	WantFence(ctx context.Context, id string) (coupon.Campaign, error)
	FinishLowering(ctx context.Context, doc coupon.Document, taken bool) (coupon.Campaign, error)
}

// pusher brings Redis what MySQL recorded. Push must refuse an older document and another Redis than the epoch's owner;
// Forget must make nothing that is not there.
type pusher interface {
	Push(ctx context.Context, d coupon.Document) (coupon.Pushed, error)
	Forget(ctx context.Context, campaign string, epoch int64, keys []coupon.Key) error
}

// opener lets a loaded epoch grant. It must refuse one that was touched, and another Redis than its owner.
type opener interface {
	Open(ctx context.Context, c coupon.Campaign) error
}

// Tools are what a repair works with. Every field must be set.
type Tools struct {
	Outbox sweeper
	Log    publisher
	Desk   desk
	Redis  pusher
	Fence  opener
}

// mending is what one run has repaired. Nothing in it deletes, gives back or takes: each step is one that the pipeline
// itself takes, and may take again at any time.
type mending struct {
	*Job
	done     []Repair
	failed   map[Repair]bool               // those in done that were not done: each is told once
	unopened map[coupon.EpochRef]time.Time // since when an epoch has been seen unopened
	named    map[coupon.EpochRef]bool      // whose claims were compared one by one
	wished   map[string]bool               // a campaign is fenced once a run: what a rebuild does not mend, the next does not either
}

func newMending(j *Job) *mending {
	return &mending{
		Job: j, done: []Repair{}, failed: map[Repair]bool{},
		unopened: map[coupon.EpochRef]time.Time{}, named: map[coupon.EpochRef]bool{}, wished: map[string]bool{},
	}
}

// mend repairs what a look found, and reports whether it is worth looking again. A repair that fails is noted: the
// difference it was for is still there.
func (m *mending) mend(ctx context.Context, r *Result) (acted bool) {
	before := len(m.done)
	for i := range r.Campaigns {
		if c := &r.Campaigns[i]; c.Verdict != Unknown && c.Epoch > 0 && ctx.Err() == nil {
			m.campaign(ctx, c)
		}
	}
	for _, done := range m.done[before:] {
		acted = acted || done.Error == ""
	}
	return acted
}

func (m *mending) campaign(ctx context.Context, c *Campaign) {
	if c.names("pending") {
		m.sweep(ctx, c)
	}
	if c.names("document_old") || c.names("lowering_open") {
		m.push(ctx, c)
	}
	if c.names("document_unopened") {
		m.open(ctx, c)
	}
	nowhere, err := m.publish(ctx, c)
	if err != nil {
		m.note(c, "publish", err, "look for claims that are nowhere but in Redis")
		return
	}
	if why := needsRebuild(c, nowhere); why != "" {
		m.wantFence(ctx, c, why)
	}
}

func (m *mending) note(c *Campaign, action string, err error, format string, args ...any) {
	done := Repair{Campaign: c.ID, Action: action, Detail: fmt.Sprintf(format, args...)}
	if err != nil {
		done.Error = err.Error()
		if m.failed[done] {
			return
		}
		m.failed[done] = true
	}
	m.done = append(m.done, done)
}

// sweep publishes pending claims. It is what every api-server does twice a second: what the log has already is a duplicate,
// which issue() knows by the row, and what is not due yet is left to the server that granted it.
func (m *mending) sweep(ctx context.Context, c *Campaign) {
	swept, err := m.Tools.Outbox.Sweep(ctx, c.ID, c.Epoch, 0)
	if err != nil || swept.Published > 0 {
		m.note(c, "sweep", err, "published %s again", counted(int64(swept.Published), "pending claim"))
	}
}

// push brings Redis the newest document. Redis takes it only if it is newer, of the epoch and sealed by the one it asks, so
// that a repeat or a race with an api-server changes nothing. What Redis answers to an open lowering settles it, as the push
// of any server would. An open raise is left to the servers: it rests on what they have seen, and this program is none.
func (m *mending) push(ctx context.Context, c *Campaign) {
	doc := c.record.Document()
	pushed, err := m.Tools.Redis.Push(ctx, doc)
	if c.names("document_old") || err != nil {
		m.note(c, "push", err, "pushed version %d of the document", doc.Version)
	}
	if err != nil || c.record.Lowering == 0 {
		return
	}
	_, err = m.Tools.Desk.FinishLowering(ctx, doc, pushed.Hi <= doc.Hi)
	if coupon.CodeOf(err) == coupon.CodeLimitBelowClaimed {
		m.note(c, "lowering", nil, "settled: Redis has given the places out, the limit stays")
		return
	}
	m.note(c, "lowering", err, "settled: the limit is lower by %d", c.record.Lowering)
}

// open finishes a fence whose warden died before the last step, by the warden's own rule: only an epoch that has been seen
// active for as long as a server's view of the one before may live. Redis refuses it unless the keys are whole, untouched
// and on their owner.
func (m *mending) open(ctx context.Context, c *Campaign) {
	ref := c.record.Ref()
	seen, known := m.unopened[ref]
	if !known {
		m.unopened[ref] = m.Now()
		return
	}
	if m.Now().Sub(seen) >= viewsGone {
		m.note(c, "open", m.Tools.Fence.Open(ctx, c.record), "opened epoch %d", c.Epoch)
	}
}

// publish appends those claims to the log that Redis granted and that are nowhere else although the log is read to the end:
// the log lost them, or somebody moved the consumers past them. It is what their server did, once more, and issue() makes one
// row of each or finds the one that is there; if the epoch ends meanwhile, the records are stale. Only keys that are whole
// and on their owner are believed. Claims whose failed event is dead or was discarded are not among them: their place is
// gone. It returns how many claims were nowhere, those that may be on their way included.
func (m *mending) publish(ctx context.Context, c *Campaign) (nowhere int, err error) {
	ref := c.record.Ref()
	if !m.Claims && !c.hasAny([]string{"claims_missing"}) || !inRedis(c.record) || m.named[ref] {
		return 0, nil
	}
	found, err := m.names(ctx, c.record)
	if err != nil {
		return 0, err
	}
	c.Claims, m.named[ref] = &found.list, found.late == 0
	nowhere = len(found.lost) + found.late
	if len(found.lost) == 0 || m.stock.Look(ctx, []*coupon.Campaign{&c.record})[0].State != coupon.Sound {
		return nowhere, nil
	}
	acked, err := m.append(ctx, ref, found.lost)
	m.note(c, "publish", err, "published again %s that Redis granted and nobody else knew", counted(int64(len(acked)), "claim"))
	return nowhere, nil
}

func (m *mending) append(ctx context.Context, ref coupon.EpochRef, claims []coupon.Claim) (acked []coupon.Key, failure error) {
	for i, err := range m.Tools.Log.PublishAll(ctx, claims) {
		if err != nil {
			failure = err
			continue
		}
		acked = append(acked, claims[i].Key)
	}
	if len(acked) == 0 {
		return nil, failure
	}
	return acked, errors.Join(failure, m.Tools.Redis.Forget(ctx, ref.Campaign, ref.Epoch, acked))
}

// wantFence asks the warden for a rebuild: the campaign's epoch ends, its log is drained, and the next one is loaded from
// MySQL. No promise is lost by it, whatever Redis holds: only what MySQL has, or the log will bring it, was promised.
func (m *mending) wantFence(ctx context.Context, c *Campaign, why string) {
	if m.wished[c.ID] || c.names("fence_wanted") {
		return
	}
	m.wished[c.ID] = true
	_, err := m.Tools.Desk.WantFence(ctx, c.ID)
	m.note(c, "rebuild", err, "asked for a rebuild of epoch %d: %s", c.Epoch, why)
}

// broken are the differences that mean MySQL's own numbers are wrong. A rebuild computes what is free from them, and would
// turn a wrong number into a coupon too many.
var broken = []string{"over_limit", "rows_issued", "returns_coupons", "rows_serial", "epochs_overlap", "epoch_range"}

// mended are the differences that a rebuild ends: Redis' keys are made anew from the rows, and what is free is counted anew.
var mended = []string{
	"document_missing", "document_epoch", "document_fenced", "document_ahead", "document_differs", "seal_broken",
	"count_missing", "members_count", "members_serials", "claims_unknown", "places_twice",
}

// needsRebuild says which difference of an open campaign a rebuild ends, "" when none does. Of lost places it would also be
// the end of the claims that took them, so that these must be known not to be anybody's: lost ones are published first, and
// while their records are on the way a rebuild would only be in their way.
func needsRebuild(c *Campaign, nowhere int) string {
	if c.Status == coupon.CampaignClosed || c.EpochState != coupon.EpochActive || c.hasAny(broken) {
		return ""
	}
	for _, d := range c.Differences {
		for _, code := range mended {
			if d.Code == code {
				return code
			}
		}
	}
	if c.hasAny([]string{"places_lost"}) && nowhere == 0 && c.explained() {
		return "places_lost"
	}
	if c.Claims != nil {
		for _, wrong := range []string{rowGone, otherSerial, noMember, noSerial, rowUnknown, eventUnknown} {
			if c.Claims.Wrong[wrong] > 0 {
				return wrong
			}
		}
	}
	return ""
}

// explained reports whether it is known what became of every claim that is missing: that of a dead or discarded event is
// nobody's any more.
func (c *Campaign) explained() bool {
	if !c.names("claims_missing") {
		return true
	}
	return c.Claims != nil && c.Claims.Total > 0 && c.Claims.Wrong[noRow] == 0
}
