package event

import (
	"strconv"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

const typeHeader = "ce_type"

// The values that every event shares. They are never written to.
var (
	specVersion = []byte("1.0")
	source      = []byte("/seonchak/api-server")
	contentType = []byte("application/json")
	claimedType = []byte(TypeClaimed)
	barrierType = []byte(TypeBarrier)
)

// Headers returns the CloudEvents attributes of a claim's record. The id is campaign:user:n:epoch: the same claim
// published twice is the same event.
func Headers(c coupon.Claim) []Header {
	const numbers = 48 // bytes of n, epoch, two colons and a time, rounded up
	b := make([]byte, 0, numbers+len(c.Campaign)+1+len(c.User))
	b = appendKey(b, c)
	b = append(b, ':')
	b = strconv.AppendInt(b, int64(c.N), 10)
	b = append(b, ':')
	b = strconv.AppendInt(b, c.Epoch, 10)
	id := len(b)
	b = appendTime(b, c.ClaimedAt)
	return []Header{
		{"ce_specversion", specVersion},
		{"ce_id", b[:id:id]},
		{typeHeader, claimedType},
		{"ce_source", source},
		{"ce_time", b[id:]},
		{"content-type", contentType},
	}
}

// BarrierHeaders returns the headers of a fence's no-op record, whose key and value are empty. id tells one fence from
// another in a log viewer.
func BarrierHeaders(id string) []Header {
	return []Header{
		{"ce_specversion", specVersion},
		{"ce_id", []byte(id)},
		{typeHeader, barrierType},
		{"ce_source", source},
	}
}

// IsBarrier reports whether a record with these headers is a fence's no-op: it carries nothing and is skipped.
func IsBarrier(headers []Header) bool {
	for _, h := range headers {
		if h.Key == typeHeader {
			return string(h.Value) == TypeBarrier
		}
	}
	return false
}
