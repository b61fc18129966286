package reconcile

import (
	"fmt"
	"strings"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/mysqlstore"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

// figures are what the stores said of one campaign, in the order they were asked: before, the lag, MySQL, after. A claim
// moves the same way, so what is not in MySQL must be pending in before or in the lag, and what is in MySQL must be in
// after: two inequalities that hold at any instant, also while a crowd applies.
type figures struct {
	asked    coupon.EpochRef // what Redis was asked about; zero when it was not asked
	before   redisstock.Snapshot
	lag      int64
	account  mysqlstore.Account
	after    redisstock.Snapshot
	owner    string // the id of the Redis that answered
	unopened bool   // the epoch is loaded there, and no document of it is
}

// elsewhere reports whether Redis was asked about an epoch that it does not hold any more, or not asked about the one it does.
func (x *figures) elsewhere() bool {
	c := x.account.Campaign
	if !inRedis(c) {
		return x.asked.Epoch > 0
	}
	return x.asked != c.Ref()
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
	compareRecord(&x.account, &found)
	if !compareEpoch(&x, &found) {
		return found
	}
	if x.account.Campaign.Mode == coupon.ModeSQL {
		compareSQL(&x.account, &found)
		return found
	}
	if !x.before.Exists && x.account.Campaign.Status == coupon.CampaignClosed {
		return found // its keys are removed some time after the end
	}
	compareMoves(x.account.Campaign, &found)
	if !compareDocument(x, &found) {
		return found
	}
	if compareStock(x.before, &found) && x.after.Count >= 0 {
		compareClaims(x, &found)
	}
	if x.before.Pending > 0 {
		found.addIf(true, "pending", "%s not acknowledged by the log", counted(x.before.Pending, "claim"))
	}
	return found
}

// compareMoves names the changes of the stock that Redis is yet to learn. A closed campaign sells nothing, so that its open
// raise is nobody's work.
func compareMoves(c coupon.Campaign, found *findings) {
	switch {
	case c.Lowering > 0:
		found.addIf(true, "lowering_open", "the limit is being lowered by %d", c.Lowering)
	case c.HiWanted < c.Hi && c.Status != coupon.CampaignClosed:
		found.addIf(true, "raise_open", "Redis may give out serials to %d, MySQL has room to %d: a raise or a return is on its way",
			c.HiWanted, c.Hi)
	}
}

// compareDocument reports whether Redis has the document of the live epoch.
func compareDocument(x figures, found *findings) bool {
	have, want := x.before.Document, x.account.Campaign.Document()
	if want.Seal != "" && x.owner != want.Seal {
		found.add("seal_broken", "epoch %d was opened on Redis %s, this one is %s: it restarted, or is another one",
			want.Epoch, want.Seal, x.owner)
	}
	switch {
	case x.unopened:
		found.addIf(true, "document_unopened", "epoch %d is loaded in Redis and not yet open", want.Epoch)
		return false
	case !x.before.Exists:
		found.add("document_missing", "Redis holds no document of the campaign: nothing can be granted")
		return false
	case have.Epoch != want.Epoch:
		found.add("document_epoch", "Redis is in epoch %d, MySQL in epoch %d", have.Epoch, want.Epoch)
		return false
	case have.State == coupon.DocumentFenced:
		found.add("document_fenced", "epoch %d is fenced in Redis and active in MySQL", have.Epoch)
	case have.Version < want.Version:
		found.addIf(true, "document_old", "Redis has version %d of the document, MySQL version %d", have.Version, want.Version)
	case have.Version > want.Version:
		found.add("document_ahead", "Redis has version %d of the document, MySQL only version %d", have.Version, want.Version)
	default:
		// Asked to lower its hi, Redis takes the document and keeps a hi that it has given out already.
		refused := x.account.Campaign.Lowering > 0 && have.Hi > want.Hi
		if refused {
			have.Hi = want.Hi
		}
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

// compareClaims follows the claims: each is a row, kept for a failed event, pending, or in the log.
func compareClaims(x figures, found *findings) {
	c, rows, kept := x.account.Campaign, x.account.Rows, x.account.Kept
	moving := max(x.before.Pending, 0) + x.lag
	if missing := x.before.Members - rows - kept; missing > 0 {
		found.addIf(missing <= moving, "claims_missing",
			"of %d claims in Redis %d are rows and %d live failed events: %d missing (pending %d, consumer lag %d)",
			x.before.Members, rows, kept, missing, x.before.Pending, x.lag)
	}
	if extra := rows + kept - x.after.Members; extra > 0 {
		found.add("claims_unknown", "MySQL has %d rows and %d live failed events, Redis only %d claims: %d unknown to Redis",
			rows, kept, x.after.Members, extra)
	}
	comparePlaces(c, kept, c.Hi-x.before.Count, c.Hi-x.after.Count, moving, found)
}

// comparePlaces proves the conservation of stock: every place is taken, kept for a failed event, or still to be given out.
// before and after are the unsold places at an instant before MySQL was asked and one after, moving the claims that may have
// been on their way then.
func comparePlaces(c coupon.Campaign, kept, before, after, moving int64, found *findings) {
	const sum = "issued %d, live failed events %d and unsold %d make %s than the limit %d: "
	if lost := c.Limit - c.Issued - kept - before; lost > 0 {
		found.addIf(lost <= moving, "places_lost", sum+"%s cannot be sold",
			c.Issued, kept, before, "less", c.Limit, counted(lost, "place"))
	}
	// More may be owed than there is, after a serial had two owners; then nothing may be sold.
	if twice := c.Issued + kept + after - max(c.Limit, c.Issued+kept); twice > 0 {
		found.add("places_twice", sum+"%s too many", c.Issued, kept, after, "more", c.Limit, counted(twice, "place"))
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
