package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// figures are what the stores said of one campaign, in the order they were asked: before, the lag, MySQL, after. A claim
// moves the same way, so what is not in MySQL must be pending in before or in the lag, and what is in MySQL must be in
// after: two inequalities that hold at any instant, also while a crowd applies.
type figures struct {
	before   redisstock.Snapshot
	lag      int64
	campaign coupon.Campaign
	totals   coupon.Totals
	after    redisstock.Snapshot
}

// findings gathers differences; those that the work on its way may end by itself apart.
type findings struct {
	real, passing []Difference
}

func (f *findings) add(code, format string, args ...any) {
	f.real = append(f.real, Difference{code, fmt.Sprintf(format, args...)})
}

func (f *findings) addIf(passing bool, code, format string, args ...any) {
	if !passing {
		f.add(code, format, args...)
		return
	}
	f.passing = append(f.passing, Difference{code, fmt.Sprintf(format, args...)})
}

// compare says how the stores contradict one another. It is pure.
func compare(x figures) findings {
	var found findings
	compareRecord(x, &found)
	if x.campaign.Mode != coupon.ModeRedis || x.campaign.Epoch == 0 {
		return found
	}
	if x.campaign.EpochState != coupon.EpochActive {
		found.addIf(true, "epoch", "epoch %d is %s: Redis is not asked", x.campaign.Epoch, x.campaign.EpochState)
		return found
	}
	if !x.before.Exists && x.campaign.Status == coupon.CampaignClosed {
		return found // its keys are removed some time after the end
	}
	if !compareDocument(x, &found) {
		return found
	}
	if compareStock(x.before, &found) {
		compareClaims(x, &found)
	}
	return found
}

// compareRecord looks at MySQL alone, where a row and its place are one transaction.
func compareRecord(x figures, found *findings) {
	if x.totals.Issued > x.totals.Limit {
		found.add("over_limit", "%d places are taken of %d: oversold", x.totals.Issued, x.totals.Limit)
	}
	if missing := x.totals.Issued - x.totals.Rows; missing != 0 {
		found.add("rows_issued", "MySQL counts %d places taken and has %d rows: %s", x.totals.Issued, x.totals.Rows,
			lessOrMore(missing, "row"))
	}
}

// compareDocument reports whether Redis has the document of the live epoch.
func compareDocument(x figures, found *findings) bool {
	have, want := x.before.Document, x.campaign.Document()
	switch {
	case !x.before.Exists:
		found.add("document_missing", "Redis holds no document of the campaign: nothing can be granted")
		return false
	case have.Epoch != want.Epoch:
		found.addIf(have.Epoch < want.Epoch, "document_epoch", "Redis is in epoch %d, MySQL in epoch %d", have.Epoch, want.Epoch)
		return false
	case have.State == coupon.DocumentFenced:
		found.add("document_fenced", "epoch %d is fenced in Redis and active in MySQL", have.Epoch)
	case have.Version < want.Version:
		found.addIf(true, "document_old", "Redis has version %d of the document, MySQL version %d", have.Version, want.Version)
	case have.Version > want.Version:
		found.add("document_ahead", "Redis has version %d of the document, MySQL only version %d", have.Version, want.Version)
	default:
		if fields := differing(have, want); len(fields) > 0 {
			found.add("document_differs", "at the same version %d Redis has %s", have.Version, strings.Join(fields, ", "))
		}
	}
	return true
}

// differing names the fields in which two documents of one version differ. Redis keeps milliseconds.
func differing(have, want coupon.Document) (fields []string) {
	for _, f := range []struct {
		name       string
		have, want any
	}{
		{"state", have.State, want.State},
		{"hi", have.Hi, want.Hi},
		{"lo", have.Lo, want.Lo},
		{"base", have.Base, want.Base},
		{"seal", have.Seal, want.Seal},
		{"opens", have.OpensAt.UTC(), want.OpensAt.UTC().Truncate(time.Millisecond)},
		{"closes", have.ClosesAt.UTC(), want.ClosesAt.UTC().Truncate(time.Millisecond)},
		{"per_user", have.PerUserLimit, want.PerUserLimit},
	} {
		if f.have != f.want {
			fields = append(fields, fmt.Sprintf("%s %v instead of %v", f.name, f.have, f.want))
		}
	}
	return fields
}

// compareStock looks at Redis alone, where a grant is one script, and reports whether there is a count to go on with.
func compareStock(s redisstock.Snapshot, found *findings) bool {
	if s.Count < 0 {
		found.add("count_missing", "Redis has no count of the epoch")
		return false
	}
	given := s.Document.Base + s.Count - s.Document.Lo + 1
	if s.Members != given {
		found.add("members_count", "Redis counts %d claims and has %d members: %s", given, s.Members,
			lessOrMore(given-s.Members, "member"))
	}
	if s.Members != s.Serials {
		found.add("members_serials", "Redis has %d members and %d serials: %s", s.Members, s.Serials,
			lessOrMore(s.Members-s.Serials, "serial"))
	}
	return true
}

// compareClaims follows the claims: each is a row, a live failed event, pending, or in the log.
func compareClaims(x figures, found *findings) {
	issued, failed := x.totals.Issued, x.totals.Live() // of one instant, with the rows
	kept := x.totals.Rows + failed
	moving := x.before.Pending + x.lag
	if missing := x.before.Members - kept; missing > 0 {
		found.addIf(missing <= moving, "claims_missing",
			"of %d claims in Redis %d are rows and %d live failed events: %d missing (pending %d, consumer lag %d)",
			x.before.Members, x.totals.Rows, failed, missing, x.before.Pending, x.lag)
	}
	if extra := kept - x.after.Members; extra > 0 {
		found.add("claims_unknown", "MySQL has %d rows and %d live failed events, Redis only %d claims: %d unknown to Redis",
			x.totals.Rows, failed, x.after.Members, extra)
	}
	// Every place is taken, kept for a failed event, or still to be given out.
	if lost := x.campaign.Limit - issued - failed - (x.campaign.Hi - x.before.Count); lost > 0 {
		found.addIf(lost <= moving, "places_lost", "issued %d, live failed events %d and unsold %d make less than the limit %d: %s",
			issued, failed, x.campaign.Hi-x.before.Count, x.campaign.Limit, counted(lost, "place")+" cannot be sold")
	}
	if twice := issued + failed + x.campaign.Hi - x.after.Count - x.campaign.Limit; twice > 0 {
		found.add("places_twice", "issued %d, live failed events %d and unsold %d make more than the limit %d: %s",
			issued, failed, x.campaign.Hi-x.after.Count, x.campaign.Limit, counted(twice, "place")+" too many")
	}
}

// lessOrMore says in words that n are missing, or that -n are too many.
func lessOrMore(n int64, what string) string {
	if n < 0 {
		return counted(-n, what) + " too many"
	}
	return counted(n, what) + " missing"
}

func counted(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
