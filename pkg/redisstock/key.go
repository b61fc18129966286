package redisstock

import (
	"strconv"
	"strings"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// The hash tag keeps all keys of a campaign on one node of a cluster, so that one script may touch them all.
func metaKey(campaign string) string { return "coupon:{" + campaign + "}:meta" }

// probeKey is the key of a write probe, on the server that has the campaign's keys. Nothing reads it.
func probeKey(campaign string) string { return "coupon:{" + campaign + "}:probe" }

// epochKeys are the keys of one epoch. Those of different epochs never meet.
type epochKeys struct {
	meta, users, count, serials, pending string
}

func keysOf(campaign string, epoch int64) epochKeys {
	prefix := "coupon:{" + campaign + "}:" + strconv.FormatInt(epoch, 10)
	return epochKeys{
		meta:    metaKey(campaign),
		users:   prefix + ":users",
		count:   prefix + ":count",
		serials: prefix + ":serials",
		pending: prefix + ":pending",
	}
}

// member names a claim inside a campaign: the user alone for the first coupon, as nearly all are.
func member(key coupon.Key) string {
	if key.N == 1 {
		return key.User
	}
	return strconv.Itoa(key.N) + "/" + key.User
}

func keyOf(campaign, member string) (key coupon.Key, ok bool) {
	number, user, found := strings.Cut(member, "/")
	if !found {
		return coupon.Key{Campaign: campaign, User: member, N: 1}, true
	}
	n, err := strconv.Atoi(number)
	return coupon.Key{Campaign: campaign, User: user, N: n}, err == nil
}

// members returns the keys as arguments of a script, after the ones given.
func members(keys []coupon.Key, first ...any) []any {
	args := make([]any, 0, len(first)+len(keys))
	args = append(args, first...)
	for _, key := range keys {
		args = append(args, member(key))
	}
	return args
}

// parseStored reads "serial|claimed_ms|mark". A claim without a mark is one that nothing is known of: reserved.
func parseStored(value string) (serial int64, at time.Time, mark coupon.Mark, ok bool) {
	first, rest, found := strings.Cut(value, "|")
	if !found {
		return 0, time.Time{}, 0, false
	}
	second, last, _ := strings.Cut(rest, "|")
	serial, errSerial := strconv.ParseInt(first, 10, 64)
	ms, errMs := strconv.ParseInt(second, 10, 64)
	if errSerial != nil || errMs != nil || serial < 1 || len(last) > 1 {
		return 0, time.Time{}, 0, false
	}
	mark = coupon.MarkReserved
	if last != "" {
		mark = coupon.Mark(last[0])
	}
	return serial, fromMilli(ms), mark, true
}

func fromMilli(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
