package simulation

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// told is one answer to one user.
type told struct {
	key           coupon.Key
	called, ended time.Time
	status        coupon.ClaimStatus // "" of a refusal
	refusal       coupon.Code        // "" of a claim
	serial        int64              // of a binding answer
	blind         bool               // by a server that has not heard from MySQL for a while
	epoch         int64
	free          bool // of sold_out: a place was free from the call to the answer
}

func (a told) binding() bool {
	return a.status == coupon.StatusAccepted || a.status == coupon.StatusIssued
}

// denial reports whether the answer says that the user has nothing.
func (a told) denial() bool {
	switch a.refusal {
	case coupon.CodeSoldOut, coupon.CodeCampaignEnded, coupon.CodeCampaignPaused, coupon.CodeCampaignNotStarted,
		coupon.CodePerUserLimit, coupon.CodeCampaignNotFound:
		return true
	default:
		return false
	}
}

// journal is everything the users were told, in the order of the answers.
type journal struct {
	mu      sync.Mutex
	answers []told
	called  map[coupon.Key]time.Time // the first call of each key
	bound   map[coupon.Key]told      // the first binding answer of each key
}

func newJournal() *journal {
	return &journal{called: map[coupon.Key]time.Time{}, bound: map[coupon.Key]told{}}
}

func (j *journal) call(key coupon.Key, at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.called[key]; !known {
		j.called[key] = at
	}
}

func (j *journal) write(a told) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.answers = append(j.answers, a)
	if _, known := j.bound[a.key]; !known && a.binding() {
		j.bound[a.key] = a
	}
}

// judge compares what was told with the rows, at rest, and returns every untruth in words. A server that is cut off from
// MySQL answers from the last sealed Redis it reaches, which may be out of date when it was away while its epoch was closed:
// the stated exception.
func (j *journal) judge(rows []coupon.Coupon) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	byKey := map[coupon.Key]coupon.Coupon{}
	for _, row := range rows {
		byKey[row.Key] = row
		if _, asked := j.called[row.Key]; !asked {
			say("I5: %v has a row and never asked", row.Key)
		}
	}
	for _, a := range j.answers {
		row, served := byKey[a.key]
		first, bound := j.bound[a.key]
		switch {
		case a.binding() && !served:
			say("I4 lost: %v was told %s with serial %d and has no row", a.key.User, a.status, a.serial)
		case a.binding() && row.Serial != a.serial:
			say("I6: %v was told serial %d and has %d", a.key.User, a.serial, row.Serial)
		case a.denial() && !a.blind && bound && a.called.After(first.ended):
			say("I13: %v holds a claim and was told %s", a.key.User, a.refusal)
		case a.free && !a.blind:
			say("I7: %v was told sold_out after %v, and a place was free all the time", a.key.User, a.ended.Sub(a.called))
		}
	}
	return append(found, j.inversions(byKey)...)
}

// inversions finds who was answered before another one called and has the larger serial of one epoch (I7).
func (j *journal) inversions(rows map[coupon.Key]coupon.Coupon) (found []string) {
	type grant struct {
		key             coupon.Key
		called, ended   time.Time
		serial, ofEpoch int64
	}
	var grants []grant
	for key, a := range j.bound {
		if row, ok := rows[key]; ok {
			grants = append(grants, grant{key, j.called[key], a.ended, row.Serial, row.Epoch})
		}
	}
	slices.SortFunc(grants, func(a, b grant) int { return a.ended.Compare(b.ended) })
	for i, a := range grants {
		for _, b := range grants[i+1:] {
			if a.ofEpoch == b.ofEpoch && a.ended.Before(b.called) && a.serial > b.serial {
				found = append(found, fmt.Sprintf("I7: %s was answered before %s called and has serial %d, not below %d",
					a.key.User, b.key.User, a.serial, b.serial))
			}
		}
	}
	return found
}

// unsettled returns, in words, everybody who was told neither yes nor no since an instant.
func (j *journal) unsettled(since time.Time) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	settled, last := map[coupon.Key]bool{}, map[coupon.Key]told{}
	for _, a := range j.answers {
		if a.called.After(since) {
			settled[a.key] = settled[a.key] || a.binding() || a.denial()
			last[a.key] = a
		}
	}
	for key, ok := range settled {
		if !ok {
			found = append(found, fmt.Sprintf("%s is told %s%s for ever", key.User, last[key].status, last[key].refusal))
		}
	}
	slices.Sort(found)
	return found
}

// digest is a number for all that was told and when: the same for every run of a seed. Those who are told at the same
// instant have no order.
func (j *journal) digest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := make([]string, len(j.answers))
	for i, a := range j.answers {
		lines[i] = fmt.Sprintln(a.ended.UnixNano(), a.key.User, a.called.UnixNano(), a.status, a.refusal, a.serial, a.epoch)
	}
	slices.Sort(lines)
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(lines, ""))) // a hash takes everything
	return h.Sum64()
}
