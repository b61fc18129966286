package warden

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	var (
		now   = time.Now()
		ago   = func(d time.Duration) time.Time { return now.Add(-d) }
		here  = memory{seen: ago(time.Hour), here: ago(time.Hour)}
		gone  = func(d time.Duration) memory { return memory{seen: ago(time.Hour), away: ago(d)} }
		redis = decision{step: rebuild, mode: coupon.ModeRedis}
		sql   = decision{step: rebuild, mode: coupon.ModeSQL}
		lost  = decision{step: rebuild, mode: coupon.ModeRedis, lost: true}
		first = decision{step: open, mode: coupon.ModeRedis}
		back  = decision{step: rebuild, mode: coupon.ModeRedis, returns: true}
		unfit = decision{step: rebuild, mode: coupon.ModeSQL, unfit: true}
		storm = decision{step: rebuild, mode: coupon.ModeSQL, unfit: true, lost: true}
		none  = decision{}
	)
	tried := func(began time.Duration, s step, epoch int64) memory {
		return memory{
			seen: ago(10 * time.Second), here: ago(time.Hour), tried: attempt{s, coupon.ModeRedis, epoch}, began: ago(began),
		}
	}
	lately := func(losses ...loss) memory {
		return memory{seen: ago(time.Minute), here: ago(time.Hour), losses: losses}
	}
	doubted := func(doubts int, turned time.Duration) memory {
		return memory{seen: ago(time.Hour), here: ago(time.Hour), doubts: doubts, turned: ago(turned)}
	}
	campaign := func(change func(*coupon.Campaign)) coupon.Campaign {
		c := coupon.Campaign{
			ID: "a", Status: coupon.CampaignActive, Epoch: 3, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis, FenceWanted: 2,
		}
		change(&c)
		return c
	}
	plain := campaign(func(*coupon.Campaign) {})
	paused := campaign(func(c *coupon.Campaign) { c.Status = coupon.CampaignPaused })
	closed := campaign(func(c *coupon.Campaign) { c.Status = coupon.CampaignClosed })
	closedWanted := campaign(func(c *coupon.Campaign) { c.Status, c.FenceWanted = coupon.CampaignClosed, 3 })
	wanted := campaign(func(c *coupon.Campaign) { c.FenceWanted = 3 })
	inSQL := campaign(func(c *coupon.Campaign) { c.Mode = coupon.ModeSQL })
	wantedSQL := campaign(func(c *coupon.Campaign) { c.Mode, c.FenceWanted = coupon.ModeSQL, 3 })
	closedSQL := campaign(func(c *coupon.Campaign) { c.Mode, c.Status = coupon.ModeSQL, coupon.CampaignClosed })
	fencing := campaign(func(c *coupon.Campaign) { c.EpochState = coupon.EpochFencing })
	loading := campaign(func(c *coupon.Campaign) { c.EpochState = coupon.EpochLoading })
	retired := campaign(func(c *coupon.Campaign) { c.EpochState, c.Status = coupon.EpochClosed, coupon.CampaignClosed })
	opening := campaign(func(c *coupon.Campaign) { c.EpochState, c.Status = coupon.EpochLoading, coupon.CampaignDraft })

	failedAway := tried(time.Minute, rebuild, 2)
	failedAway.here, failedAway.away = time.Time{}, ago(time.Second)
	for name, c := range map[string]struct {
		campaign coupon.Campaign
		state    coupon.HealthState
		memory   memory
		want     decision
	}{
		"sound":                           {plain, coupon.Sound, here, none},
		"an old wish":                     {plain, coupon.Sound, here, none},
		"lost":                            {plain, coupon.Lost, here, lost},
		"lost and paused":                 {paused, coupon.Lost, here, lost},
		"unopened a while":                {plain, coupon.Unopened, memory{seen: ago(2 * time.Second), here: ago(time.Hour)}, first},
		"unopened just now":               {plain, coupon.Unopened, memory{seen: ago(2*time.Second - 1), here: ago(time.Hour)}, none},
		"away a moment":                   {plain, coupon.Unreachable, gone(5*time.Second - 1), none},
		"away":                            {plain, coupon.Unreachable, gone(5 * time.Second), sql},
		"away and paused":                 {paused, coupon.Unreachable, gone(time.Minute), sql},
		"wanted":                          {wanted, coupon.Sound, here, redis},
		"wanted and lost":                 {wanted, coupon.Lost, here, redis},
		"wanted, away a moment":           {wanted, coupon.Unreachable, gone(time.Second), none},
		"wanted, away":                    {wanted, coupon.Unreachable, gone(time.Minute), sql},
		"sql, away":                       {inSQL, coupon.Unreachable, gone(time.Hour), none},
		"sql, back for a moment":          {inSQL, coupon.Lost, memory{here: ago(10*time.Second - 1)}, none},
		"sql, back":                       {inSQL, coupon.Lost, memory{here: ago(10 * time.Second)}, back},
		"sql, back too soon again":        {inSQL, coupon.Lost, memory{here: ago(time.Hour), turned: ago(time.Minute - 1)}, none},
		"sql, back again":                 {inSQL, coupon.Lost, memory{here: ago(time.Hour), turned: ago(time.Minute)}, back},
		"sql, wanted":                     {wantedSQL, coupon.Lost, memory{here: ago(0), turned: ago(0)}, redis},
		"sql, wanted, away":               {wantedSQL, coupon.Unreachable, gone(time.Minute), sql},
		"sql, closed":                     {closedSQL, coupon.Lost, here, none},
		"closed, sound":                   {closed, coupon.Sound, here, none},
		"closed, lost: retired":           {closed, coupon.Lost, here, lost},
		"closed, unopened":                {closed, coupon.Unopened, here, first},
		"closed, away":                    {closed, coupon.Unreachable, gone(time.Hour), none},
		"closed, wanted: retired":         {closedWanted, coupon.Sound, here, redis},
		"half a fence":                    {fencing, coupon.Lost, here, redis},
		"half a fence, away a moment":     {fencing, coupon.Unreachable, gone(time.Second), none},
		"half a fence, away":              {fencing, coupon.Unreachable, gone(time.Minute), sql},
		"loading":                         {loading, coupon.Lost, memory{seen: ago(10*time.Second - 1), here: ago(time.Hour)}, none},
		"loading that stands still":       {loading, coupon.Lost, memory{seen: ago(10 * time.Second), here: ago(time.Hour)}, redis},
		"loading that stands still, away": {loading, coupon.Unreachable, gone(time.Minute), sql},
		"an opening that stands still":    {opening, coupon.Lost, here, redis},
		"loading that failed":             {loading, coupon.Lost, tried(time.Minute, rebuild, 2), unfit},
		"loading that failed, away":       {loading, coupon.Unreachable, failedAway, none},
		"loading of another":              {loading, coupon.Lost, tried(time.Minute, rebuild, 1), redis},
		"unopened, tried for a moment":    {plain, coupon.Unopened, tried(9*time.Second, open, 3), first},
		"unopened, tried for long":        {plain, coupon.Unopened, tried(10*time.Second, open, 3), unfit},
		"unopened, another one tried":     {plain, coupon.Unopened, tried(10*time.Second, open, 2), first},
		"lost twice":                      {plain, coupon.Lost, lately(loss{2, ago(time.Second)}), lost},
		"lost three times":                {plain, coupon.Lost, lately(loss{1, ago(59 * time.Second)}, loss{2, ago(0)}), storm},
		"lost three times, not lately":    {plain, coupon.Lost, lately(loss{1, ago(time.Minute)}, loss{2, ago(0)}), lost},
		"lost and tried again":            {plain, coupon.Lost, lately(loss{2, ago(0)}, loss{3, ago(0)}), lost},
		"lost while in doubt":             {plain, coupon.Lost, doubted(1, 59*time.Second), storm},
		"lost when out of doubt":          {plain, coupon.Lost, doubted(1, time.Minute), lost},
		"half a fence while in doubt":     {fencing, coupon.Lost, doubted(1, 0), unfit},
		"sql, in doubt":                   {inSQL, coupon.Lost, doubted(1, 59*time.Second), none},
		"sql, out of doubt":               {inSQL, coupon.Lost, doubted(1, time.Minute), back},
		"sql, in a second doubt":          {inSQL, coupon.Lost, doubted(2, time.Minute), none},
		"sql, in many doubts":             {inSQL, coupon.Lost, doubted(100, 8*time.Minute), back},
		"retired":                         {retired, coupon.Lost, here, none},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := decide(&c.campaign, coupon.Health{State: c.state, Why: "look"}, &c.memory, now)
			require.Equal(t, got.step != nothing, got.why != "", "every decision says why")
			got.why = ""
			require.Equal(t, c.want, got)
		})
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	c := coupon.Campaign{Epoch: 3, EpochState: coupon.EpochActive, Mode: coupon.ModeSQL, EpochSince: now}
	sound, away := coupon.Health{State: coupon.Lost}, coupon.Health{State: coupon.Unreachable}
	var m memory
	m.note(&c, away, at(1))
	m.note(&c, away, at(2))
	require.Equal(t, at(1), m.away)
	m.note(&c, sound, at(3))
	m.note(&c, sound, at(4))
	require.Equal(t, at(3), m.here)
	require.Zero(t, m.away)
	require.Equal(t, at(1), m.seen)
	require.Zero(t, m.turned)

	c.Epoch, c.EpochState, c.Mode = 4, coupon.EpochLoading, coupon.ModeRedis
	m.note(&c, sound, at(5))
	require.Equal(t, at(5), m.seen)
	require.Equal(t, at(5), m.turned)
	c.EpochSince = at(7) // its loader makes progress
	m.note(&c, away, at(7))
	require.Equal(t, at(7), m.seen)
	require.Zero(t, m.here)
}

func TestMemoryOfADoubt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := now.Add
	c := coupon.Campaign{Epoch: 3, EpochState: coupon.EpochActive, Mode: coupon.ModeRedis}
	var m memory
	given := decision{step: rebuild, mode: coupon.ModeSQL, unfit: true, lost: true}
	m.took(&c, given, at(0))
	m.took(&c, given, at(time.Second))
	require.Equal(t, 1, m.doubts, "the same once more is no news")
	require.Equal(t, at(0), m.turned)
	require.Equal(t, []loss{{3, at(0)}}, m.losses)

	c.Epoch, c.Mode = 4, coupon.ModeSQL
	m.note(&c, coupon.Health{State: coupon.Lost}, at(2*time.Second))
	m.took(&c, given, at(3*time.Second))
	require.Equal(t, 1, m.doubts, "it was not in Redis")

	c.Epoch, c.Mode = 5, coupon.ModeRedis
	m.note(&c, coupon.Health{State: coupon.Sound}, at(time.Minute))
	require.Equal(t, at(time.Minute), m.turned)
	m.note(&c, coupon.Health{State: coupon.Sound}, at(2*time.Minute-1))
	require.Equal(t, 1, m.doubts)
	m.note(&c, coupon.Health{State: coupon.Sound}, at(2*time.Minute))
	require.Zero(t, m.doubts, "it holds")
}
