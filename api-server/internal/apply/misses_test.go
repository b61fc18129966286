package apply

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestOnlyTheRecordSaysThatThereIsNoCampaign(t *testing.T) {
	t.Parallel()
	other := coupon.Key{Campaign: "other", User: "u", N: 1}
	opened := coupon.Campaign{ID: "other", Epoch: 1, PerUserLimit: 1, Status: coupon.CampaignClosed}
	never := opened
	never.Epoch = 0
	draft := never
	draft.Status = coupon.CampaignDraft
	cases := []struct {
		name     string
		campaign coupon.Campaign
		err      error
		code     coupon.Code
		asked    int // by three applies
	}{
		{"none", coupon.Campaign{}, errCampaignNotFound, coupon.CodeCampaignNotFound, 1},
		{"a draft", draft, nil, coupon.CodeCampaignNotFound, 3},
		{"closed before it was opened", never, nil, coupon.CodeCampaignEnded, 1},
		{"closed long ago: its holders are answered", opened, nil, "", 1},
		{"no answer", coupon.Campaign{}, errAway, coupon.CodeUnavailable, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			asked := 0
			b.find = func(string) (coupon.Campaign, error) { asked++; return c.campaign, c.err }
			for range 3 {
				_, err := b.service.Apply(t.Context(), other)
				require.Equal(t, c.code, coupon.CodeOf(err))
			}
			require.Equal(t, c.asked, asked, "only an answer that will stand is kept for a moment")
		})
	}
}

// A campaign that was opened a moment ago has holders already: a draft remembered from before must not hide it.
func TestADraftThatWasJustOpenedIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	status := coupon.CampaignDraft
	b.find = func(id string) (coupon.Campaign, error) {
		return coupon.Campaign{ID: id, Status: status, Epoch: 1, EpochState: coupon.EpochActive, PerUserLimit: 1}, nil
	}
	_, err := b.service.view.Find(t.Context(), "spring")
	require.Equal(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err))
	status = coupon.CampaignActive // by another server, which grants from now on
	_, err = b.service.Apply(t.Context(), coupon.Key{Campaign: "spring", User: "holder", N: 1})
	require.NotEqual(t, coupon.CodeCampaignNotFound, coupon.CodeOf(err), "the record says that there is one")
}

// Many ask for one campaign at once, and it is opened between two questions: one question at a time, and who came after the
// opening is not told what was read before.
func TestAQuestionUnderWayIsJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var asked atomic.Int32
		var open atomic.Bool
		b.find = func(id string) (coupon.Campaign, error) {
			asked.Add(1)
			status := coupon.CampaignDraft
			if open.Load() {
				status = coupon.CampaignActive
			}
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
			return coupon.Campaign{ID: id, Status: status}, nil
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = b.service.view.Find(t.Context(), "spring") })
		synctest.Wait()
		open.Store(true)
		for range 100 {
			all.Go(func() {
				if _, err := b.service.view.Find(t.Context(), "spring"); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.Equal(t, int32(2), asked.Load())
	})
}

func TestInventedCampaignsDoNotEatTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		var asking, most atomic.Int32
		takes := 100 * time.Millisecond
		b.find = func(string) (coupon.Campaign, error) {
			most.Store(max(most.Load(), asking.Add(1)))
			defer asking.Add(-1)
			time.Sleep(takes) //nolint:forbidigo // the bubble's fake clock
			return coupon.Campaign{}, errCampaignNotFound
		}
		ask := func(prefix string, callers int) map[coupon.Code]int {
			var all sync.WaitGroup
			var mu sync.Mutex
			codes := map[coupon.Code]int{}
			for i := range callers {
				all.Go(func() {
					_, err := b.service.view.Find(t.Context(), fmt.Sprint(prefix, i))
					mu.Lock()
					defer mu.Unlock()
					codes[coupon.CodeOf(err)]++
				})
			}
			all.Wait()
			return codes
		}
		require.Equal(t, map[coupon.Code]int{coupon.CodeCampaignNotFound: 5 * missesAsking}, ask("a-", 5*missesAsking), "they wait")
		require.EqualValues(t, missesAsking, most.Load())
		takes = 2 * missDeadline
		require.Equal(t, map[coupon.Code]int{coupon.CodeCampaignNotFound: missesAsking, coupon.CodeOverloaded: 1}, ask("b-", missesAsking+1))
	})
}

// slowRecord answers, but each call takes a while.
type slowRecord struct{ *bench }

func (s slowRecord) Campaign(ctx context.Context, id string) (coupon.Campaign, error) {
	time.Sleep(750 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
	return s.bench.Campaign(ctx, id)
}

// Kafka is silent, and MySQL takes its time: an apply is answered within 2 s of its arrival, whatever it waited for.
func TestAnAnswerIsInTimeForACampaignOutsideTheView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t)
		b.service.view.source = slowRecord{b}
		b.find = func(id string) (coupon.Campaign, error) {
			c := b.campaign
			c.ID = id
			return c, nil
		}
		b.service.publisher = silentLog{}
		b.direct = func(claims []coupon.Claim) ([]coupon.Settled, error) {
			time.Sleep(450 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
			return b.issueAll(claims)
		}
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond) //nolint:forbidigo // the bubble's fake clock
				start := time.Now()
				_, _ = b.service.Apply(t.Context(), coupon.Key{Campaign: "spring", User: fmt.Sprint("u", i), N: 1})
				if took := time.Since(start); took > 2*time.Second {
					t.Error(took)
				}
			})
		}
		all.Wait()
	})
}

type silentLog struct{}

func (silentLog) Publish(_ coupon.Claim, deadline time.Time, done func(error)) {
	time.AfterFunc(time.Until(deadline), func() { done(errAway) })
}
