// Package event is a claim as bytes and back: the contract between the processes that write coupon.claims and those that
// read it.
//
// A record is one JSON object with CloudEvents attributes in its headers (binary mode). Writers add fields, never change
// or remove one; readers ignore what they do not know. The files in testdata are that promise.
package event

import (
	"strconv"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The types of record on the log, as the header ce_type names them.
const (
	TypeClaimed = "coupon.claimed.v1" // a granted place
	TypeBarrier = "coupon.barrier.v1" // a no-op whose offset marks how far a fence must drain
)

// MaxSize is the largest value of a record in bytes. An event is some 200.
const MaxSize = 4096

const (
	version    = 1
	timeLayout = "2006-01-02T15:04:05.000Z07:00"
	sizeHint   = 128 // bytes of an event besides its two identifiers, rounded up
)

// Encode returns the value of a claim's record. The campaign and user ids must be valid ones (coupon.ValidCampaignID,
// coupon.ValidUserID): their alphabets need no escaping. The time is kept to the millisecond, in UTC.
func Encode(c coupon.Claim) []byte {
	b := make([]byte, 0, sizeHint+len(c.Campaign)+len(c.User))
	b = append(b, `{"v":1,"campaign_id":"`...)
	b = append(b, c.Campaign...)
	b = append(b, `","epoch":`...)
	b = strconv.AppendInt(b, c.Epoch, 10)
	b = append(b, `,"serial":`...)
	b = strconv.AppendInt(b, c.Serial, 10)
	b = append(b, `,"user_id":"`...)
	b = append(b, c.User...)
	b = append(b, `","n":`...)
	b = strconv.AppendInt(b, int64(c.N), 10)
	b = append(b, `,"claimed_at":"`...)
	b = appendTime(b, c.ClaimedAt)
	return append(b, `"}`...)
}

// Key returns the key of a claim's record, "campaign:user": all events of one user's campaign keep their order in one
// partition.
func Key(c coupon.Claim) []byte {
	b := make([]byte, 0, len(c.Campaign)+1+len(c.User))
	return appendKey(b, c)
}

func appendKey(b []byte, c coupon.Claim) []byte {
	b = append(b, c.Campaign...)
	b = append(b, ':')
	return append(b, c.User...)
}

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, timeLayout) }
