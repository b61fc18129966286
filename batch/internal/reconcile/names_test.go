package reconcile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/testenv"
)

func (b *bundle) runClaims() Result {
	b.tb.Helper()
	job := b.job(0)
	job.Claims = true
	result, err := job.RunOnce(b.tb.Context())
	require.NoError(b.tb, err)
	return result
}

func TestEveryWrongClaimIsNamed(t *testing.T) {
	t.Parallel()
	topic := testenv.Topic(t, 2)
	set := func(b *bundle, user, stored string) {
		require.NoError(b.tb, b.client.HSet(b.tb.Context(), b.key("1:serials"), user, stored).Err())
	}
	for name, c := range map[string]struct {
		damage func(b *bundle)
		claims []Claim
		counts bool // the counts show it too
	}{
		"a member is gone": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.SRem(b.tb.Context(), b.key("1:users"), "u2").Err()) },
			claims: []Claim{{User: "u2", N: 1, Serial: 3, RowSerial: 3, Wrong: noMember}},
			counts: true,
		},
		"a serial is gone": {
			damage: func(b *bundle) { require.NoError(b.tb, b.client.HDel(b.tb.Context(), b.key("1:serials"), "u2").Err()) },
			claims: []Claim{{User: "u2", N: 1, Wrong: noSerial}},
			counts: true,
		},
		"a serial cannot be read": {
			damage: func(b *bundle) { set(b, "u2", "three") },
			claims: []Claim{{User: "u2", N: 1, RowSerial: 3, Wrong: noSerial}},
		},
		"a claim is gone from Redis": {
			damage: func(b *bundle) {
				require.NoError(b.tb, b.client.SRem(b.tb.Context(), b.key("1:users"), "u2").Err())
				require.NoError(b.tb, b.client.HDel(b.tb.Context(), b.key("1:serials"), "u2").Err())
			},
			claims: []Claim{{User: "u2", N: 1, RowSerial: 3, Wrong: rowUnknown}},
			counts: true,
		},
		"a row has another serial": {
			damage: func(b *bundle) { set(b, "u2", "9|1700000000000|a") },
			claims: []Claim{{User: "u2", N: 1, Serial: 9, RowSerial: 3, Wrong: otherSerial}},
		},
		"a row is gone": {
			damage: func(b *bundle) {
				set(b, "u2", "3|1700000000000|i")
				b.exec("DELETE FROM coupons WHERE user_id = 'u2'")
			},
			claims: []Claim{{User: "u2", N: 1, Serial: 3, Wrong: rowGone}},
			counts: true,
		},
		"a claim is lost": {
			damage: func(b *bundle) { b.forget(b.claim(6, 1)) },
			claims: []Claim{{User: "u6", N: 1, Serial: 7, Wrong: noRow}},
			counts: true,
		},
		"a claim can never be a row": {
			damage: func(b *bundle) {
				claim := b.claim(6, 1)[0]
				b.forget([]coupon.Claim{claim})
				b.park(claim)
				b.exec("UPDATE failed_events SET status = 'dead'")
			},
			claims: []Claim{{User: "u6", N: 1, Serial: 7, Wrong: eventDead}},
			counts: true,
		},
		"a claim was discarded": {
			damage: func(b *bundle) {
				claim := b.claim(6, 1)[0]
				b.forget([]coupon.Claim{claim})
				b.park(claim)
				b.exec("UPDATE failed_events SET status = 'discarded'")
			},
			claims: []Claim{{User: "u6", N: 1, Serial: 7, Wrong: eventDiscards}},
			counts: true,
		},
		"a carried event is gone": {
			damage: func(b *bundle) { b.forget(b.claim(6, 1)); set(b, "u6", "7|1700000000000|c") },
			claims: []Claim{{User: "u6", N: 1, Serial: 7, Wrong: eventGone}},
			counts: true,
		},
		"a failed event of nobody": {
			damage: func(b *bundle) {
				b.park(coupon.Claim{Key: coupon.Key{Campaign: b.campaign, User: "u99", N: 2}, Epoch: 1, Serial: 9, ClaimedAt: time.Now()})
			},
			claims: []Claim{{User: "u99", N: 2, RowSerial: 9, Wrong: eventUnknown}},
			counts: true,
		},
		"a pending claim without a serial": {
			damage: func(b *bundle) {
				require.NoError(b.tb, b.client.ZAdd(b.tb.Context(), b.key("1:pending"), redis.Z{Score: 1, Member: "u99"}).Err())
			},
			claims: []Claim{{User: "u99", N: 1, Wrong: noSerial}},
		},
		"two that make up for each other": {
			damage: func(b *bundle) {
				b.exec("UPDATE coupons SET user_id = 'thief' WHERE user_id = 'u2'")
			},
			claims: []Claim{
				{User: "u2", N: 1, Serial: 3, Wrong: noRow},
				{User: "thief", N: 1, RowSerial: 3, Wrong: rowUnknown},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupOn(t, topic, 10)
			b.sold(0, 6)
			require.Nil(t, b.one(b.runClaims()).Claims, "before the damage")
			c.damage(b)

			found := b.one(b.runClaims())

			require.Equal(t, Different, found.Verdict)
			require.NotNil(t, found.Claims)
			require.Equal(t, c.claims, found.Claims.List)
			require.EqualValues(t, len(c.claims), found.Claims.Total)
			require.Equal(t, !c.counts, found.hasAny([]string{"claims_differ"}))
			require.Equal(t, c.counts, b.one(b.run(0)).Claims != nil, "counts that differ are reason enough")
		})
	}
}

// What is on its way is named by nobody, and a claim that was carried over may have got another serial.
func TestClaimsThatAreRightAreNotNamed(t *testing.T) {
	t.Parallel()
	b := setup(t, 10)
	b.sold(0, 2)
	b.park(b.claim(2, 1)[0])
	b.claim(3, 1) // pending
	logged := b.claim(4, 1)
	b.publish(logged)
	b.forget(logged)
	require.NoError(t, b.client.HSet(t.Context(), b.key("1:serials"), "u1", "9|1700000000000|c").Err())

	result := b.runClaims()

	require.True(t, result.OK(), result.words())
	require.Nil(t, b.one(result).Claims)
}

func TestOnlySomeAreListed(t *testing.T) {
	t.Parallel()
	const all = namesPage + 20
	b := setup(t, 2*all)
	b.forget(b.claim(0, all))
	b.sold(all, 3)

	result := b.run(0)

	claims := b.one(result).Claims
	require.EqualValues(t, all, claims.Total)
	require.Equal(t, map[string]int64{noRow: all}, claims.Wrong)
	require.Len(t, claims.List, namesKept)
	require.Contains(t, result.words(), fmt.Sprintf("%s: claim: and %d more\n", b.campaign, all-namesKept))
	var table bytes.Buffer
	require.NoError(t, result.WriteTable(&table))
	require.Contains(t, table.String(), "no_row: granted in Redis, and neither a row, a failed event, pending nor in the log")
	text, err := json.Marshal(result)
	require.NoError(t, err)
	require.Contains(t, string(text), `"wrong":"no_row"`)
}
