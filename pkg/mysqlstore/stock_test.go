package mysqlstore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// stockOf are the numbers a stock move changes.
type stockOf struct{ Limit, Hi, HiWanted, Lowering int64 }

func numbers(c coupon.Campaign) stockOf { return stockOf{c.Limit, c.Hi, c.HiWanted, c.Lowering} }

func (b *bundle) stock(id string) stockOf {
	b.tb.Helper()
	c, err := b.Campaign(b.tb.Context(), id)
	require.NoError(b.tb, err)
	return numbers(c)
}

func (b *bundle) hiMax(id string) int64 {
	b.tb.Helper()
	return scan[int64](b, `SELECT e.hi_max FROM campaign_epochs e
		JOIN campaigns c ON c.id = e.campaign_id AND c.epoch = e.epoch WHERE c.slug = ?`, id)
}

func TestRaiseLimit(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		open     func(b *bundle, id string)
		want     stockOf
		hiMax    int64
		versions int64
	}{
		"draft": {
			func(b *bundle, id string) { require.NoError(b.tb, b.CreateCampaign(b.tb.Context(), draft(id, 10))) },
			stockOf{Limit: 13},
			0, 0,
		},
		"mode redis": {func(b *bundle, id string) { b.opened(id, 10) }, stockOf{Limit: 13, Hi: 13, HiWanted: 10}, 13, 0},
		"mode sql":   {func(b *bundle, id string) { b.sells(id, 10) }, stockOf{Limit: 13, Hi: 13, HiWanted: 13}, 13, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			const id = "raise"
			c.open(b, id)
			before, err := b.Campaign(t.Context(), id)
			require.NoError(t, err)
			raised, err := b.RaiseLimit(t.Context(), id, 3, "more", "kim")
			require.NoError(t, err)
			require.Equal(t, c.want, numbers(raised))
			require.Equal(t, c.want, b.stock(id))
			require.Equal(t, before.Version+c.versions, raised.Version)
			if before.Epoch > 0 {
				require.Equal(t, c.hiMax, b.hiMax(id))
			}
			ledger, err := b.Adjustments(t.Context(), id, 0, 10)
			require.NoError(t, err)
			require.Equal(t, []coupon.Adjustment{{
				ID: ledger[0].ID, Kind: coupon.AdjustmentRaise, Delta: 3, Reason: "more", Actor: "kim", CreatedAt: noon,
			}}, ledger)
		})
	}
}

// A limit raised before the first opening is the stock of the first epoch.
func TestRaiseBeforeOpening(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.CreateCampaign(t.Context(), draft("early", 10)))
	_, err := b.RaiseLimit(t.Context(), "early", 5, "", "")
	require.NoError(t, err)
	_, err = b.BeginLowering(t.Context(), "early", 3, "", "")
	require.NoError(t, err)
	require.EqualValues(t, 12, b.reopened("early").Hi)
}

func TestAdjustRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("open", 10)
	b.issued("open", batchOf("open", 4)...)
	require.NoError(t, b.Park(t.Context(), []coupon.FailedEvent{{Claim: claimOf("open", "late", 1, 1, 5)}}))
	b.opened("closed", 10)
	_, err := b.SetStatus(t.Context(), "closed", coupon.CampaignClosed)
	require.NoError(t, err)
	b.opened("fencing", 10)
	b.mustExec("UPDATE campaigns SET epoch_state = 'fencing' WHERE slug = 'fencing'")
	sql := b.sells("sql", 10)
	b.direct("sql", sql.Epoch, wish("sql", "a", 1))
	for name, c := range map[string]struct {
		id    string
		delta int64 // to lower by
		want  coupon.Code
	}{
		"nothing":               {"open", 0, coupon.CodeValidationFailed},
		"less than nothing":     {"open", -1, coupon.CodeValidationFailed},
		"all of it":             {"open", 10, coupon.CodeValidationFailed},
		"what is taken or kept": {"open", 6, coupon.CodeLimitBelowClaimed},
		"closed":                {"closed", 1, coupon.CodeInvalidTransition},
		"fencing":               {"fencing", 1, coupon.CodeUnavailable},
		"unknown":               {"nowhere", 1, coupon.CodeCampaignNotFound},
		"given out in mode sql": {"sql", 10, coupon.CodeValidationFailed},
	} {
		_, err := b.BeginLowering(t.Context(), c.id, c.delta, "", "")
		require.Equal(t, c.want, coupon.CodeOf(err), name)
	}
	_, err = b.RaiseLimit(t.Context(), "closed", 1, "", "")
	require.Equal(t, coupon.CodeInvalidTransition, coupon.CodeOf(err))
	_, err = b.RaiseLimit(t.Context(), "open", highestLimit, "", "")
	require.Equal(t, coupon.CodeValidationFailed, coupon.CodeOf(err))
	require.Zero(t, scan[int64](b, "SELECT COUNT(*) FROM stock_ledger"))
	require.Equal(t, stockOf{10, 10, 10, 0}, b.stock("open"))
}

// hi_wanted follows hi for a server that saw it stand, and for nobody else.
func TestRaiseWanted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "wanted"
	b.opened(id, 10)
	seen, err := b.RaiseLimit(t.Context(), id, 5, "", "")
	require.NoError(t, err)
	for name, try := range map[string]func() (coupon.Campaign, error){
		"nothing new":     func() (coupon.Campaign, error) { return b.RaiseWanted(t.Context(), seen.Ref(), seen.Version, 10) },
		"another version": func() (coupon.Campaign, error) { return b.RaiseWanted(t.Context(), seen.Ref(), seen.Version-1, 15) },
		"another epoch": func() (coupon.Campaign, error) {
			return b.RaiseWanted(t.Context(), coupon.EpochRef{Campaign: id, Epoch: 2}, seen.Version, 15)
		},
	} {
		c, err := try()
		require.NoError(t, err, name)
		require.EqualValues(t, 10, c.HiWanted, name)
		require.Equal(t, seen.Version, c.Version, name)
	}
	c, err := b.RaiseWanted(t.Context(), seen.Ref(), seen.Version, 12)
	require.NoError(t, err)
	require.Equal(t, stockOf{15, 15, 12, 0}, numbers(c))
	require.Equal(t, seen.Version+1, c.Version)
	c, err = b.RaiseWanted(t.Context(), seen.Ref(), c.Version, 99)
	require.NoError(t, err)
	require.Equal(t, stockOf{15, 15, 15, 0}, numbers(c), "never above hi")

	for _, state := range []string{"fencing", "loading"} {
		b.mustExec("UPDATE campaigns SET hi_wanted = 10, epoch_state = ?", state)
		c, err = b.RaiseWanted(t.Context(), c.Ref(), c.Version, 15)
		require.NoError(t, err)
		require.EqualValues(t, 10, c.HiWanted, state)
	}
}

// A hi that went down and up again between two looks of a server did not stand: some view may be from in between, and its
// sold-out short cut with it.
func TestRaiseWantedNoticesADip(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "dip"
	b.opened(id, 10)
	seen, err := b.RaiseLimit(t.Context(), id, 5, "", "")
	require.NoError(t, err)
	lowered, err := b.BeginLowering(t.Context(), id, 5, "", "")
	require.NoError(t, err)
	require.Equal(t, stockOf{10, 10, 10, 0}, numbers(lowered))
	_, err = b.RaiseLimit(t.Context(), id, 5, "", "")
	require.NoError(t, err)
	c, err := b.RaiseWanted(t.Context(), seen.Ref(), seen.Version, seen.Hi)
	require.NoError(t, err)
	require.Equal(t, stockOf{15, 15, 10, 0}, numbers(c))
}

func TestAdjustmentsInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.opened("pages", 10)
	b.opened("other", 10)
	for delta := range int64(5) {
		_, err := b.RaiseLimit(t.Context(), "pages", delta+1, "", "")
		require.NoError(t, err)
		_, err = b.RaiseLimit(t.Context(), "other", 100, "", "")
		require.NoError(t, err)
	}
	var deltas []int64
	var after int64
	for {
		page, err := b.Adjustments(t.Context(), "pages", after, 2)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		require.LessOrEqual(t, len(page), 2)
		for _, a := range page {
			deltas, after = append(deltas, a.Delta), a.ID
		}
	}
	require.Equal(t, []int64{1, 2, 3, 4, 5}, deltas)
}

func TestUpdateCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "changed"
	b.opened(id, 10)
	before, err := b.Campaign(t.Context(), id)
	require.NoError(t, err)
	name, end := "Summer 여름", before.EndsAt.AddDate(0, 0, 1)
	restock, discount := true, coupon.Discount{Type: "percent", Value: 10}
	change := coupon.CampaignChange{Name: &name, EndsAt: &end, RestockOnCancel: &restock, Discount: &discount}
	got, err := b.UpdateCampaign(t.Context(), id, before.Version, change)
	require.NoError(t, err)
	want := before
	want.Name, want.EndsAt, want.RestockOnCancel, want.Discount = name, end, restock, &discount
	want.Version, want.UpdatedAt = before.Version+1, noon
	require.Equal(t, want, got)
	stored, err := b.Campaign(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, want, stored)
	require.Equal(t, end, got.Document().ClosesAt)

	_, err = b.UpdateCampaign(t.Context(), id, before.Version, change)
	require.Equal(t, coupon.CodeVersionMismatch, coupon.CodeOf(err))
	_, err = b.UpdateCampaign(t.Context(), id, got.Version, coupon.CampaignChange{StartsAt: &end})
	require.Equal(t, coupon.CodeValidationFailed, coupon.CodeOf(err))
	_, err = b.UpdateCampaign(t.Context(), "nowhere", 1, change)
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
	stored, err = b.Campaign(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, want, stored)
}

// doubled opens a campaign two of whose serials were given to two users each: two rows, and two promises that keep places.
func (b *bundle) doubled(id string, limit int64) {
	b.tb.Helper()
	b.opened(id, limit)
	for serial := int64(1); serial <= 2; serial++ {
		for _, who := range []string{"first", "second"} {
			b.issued(id, delivery(claimOf(id, fmt.Sprint(who, serial), 1, 1, serial)))
		}
	}
	require.EqualValues(b.tb, 2, b.totals(id).Live())
}

// Places that failed events keep above the limit are owed: what is raised, or returned, is theirs first.
func TestNewPlacesAreOwedFirst(t *testing.T) {
	t.Parallel()
	raise := func(delta int64) func(b *bundle) {
		return func(b *bundle) {
			_, err := b.RaiseLimit(b.tb.Context(), "owed", delta, "", "")
			require.NoError(b.tb, err)
		}
	}
	give := func(b *bundle) {
		b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
		b.cancelled("owed", "first1")
	}
	for name, c := range map[string]struct {
		moves []func(b *bundle)
		free  int64
	}{
		"raise by what is owed":    {[]func(b *bundle){raise(2)}, 0},
		"raise by more":            {[]func(b *bundle){raise(5)}, 3},
		"raise in steps":           {[]func(b *bundle){raise(1), raise(1), raise(1)}, 1},
		"return":                   {[]func(b *bundle){give}, 0},
		"return, when all is paid": {[]func(b *bundle){raise(2), give}, 1},
	} {
		for _, mode := range []coupon.Mode{coupon.ModeRedis, coupon.ModeSQL} {
			t.Run(name+" "+string(mode), func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.doubled("owed", 2)
				before := b.fenced("owed", mode)
				if mode == coupon.ModeRedis {
					b.activated(before)
				}
				for _, move := range c.moves {
					move(b)
				}
				after := b.campaign("owed")
				require.Equal(t, c.free, after.Hi-(after.Lo-1))
				require.Equal(t, max(after.Limit, after.Issued+2), after.Issued+2+c.free, "every place is taken, kept or for sale")
				require.Equal(t, max(before.Hi, after.Hi), b.hiMax("owed"))
				wanted := before.HiWanted // Redis is told later
				if mode == coupon.ModeSQL {
					wanted = after.Hi
				}
				require.Equal(t, wanted, after.HiWanted)
			})
		}
	}
}

// Nothing is sold of a retired campaign: what is given back to it raises no serial.
func TestReturnToARetiredCampaign(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const id = "over"
	b.opened(id, 10)
	b.mustExec("UPDATE campaigns SET restock_on_cancel = 1")
	b.issued(id, delivery(claimOf(id, "a", 1, 1, 1)))
	_, err := b.SetStatus(t.Context(), id, coupon.CampaignClosed)
	require.NoError(t, err)
	b.fenced(id, coupon.ModeRedis)
	_, campaign := b.cancelled(id, "a")
	require.Zero(t, campaign.Issued)
	require.Equal(t, stockOf{10, 10, 10, 0}, numbers(campaign))
	require.EqualValues(t, 10, b.hiMax(id))
}
