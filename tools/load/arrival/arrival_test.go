package arrival

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func plan(profile string) Plan {
	return Plan{Profile: profile, Users: 20_000, Over: 10 * time.Second, Campaigns: 1, Members: 100, Seed: 7}
}

func all(p Plan, shard Shard) []Apply {
	var applies []Apply
	s := p.Stream(shard)
	for a, more := s.Next(); more; a, more = s.Next() {
		applies = append(applies, a)
	}
	return applies
}

func byTime(a, b Apply) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.User, b.User)) }

func TestAMillionNamesAreDistinctAndTellTheirNumber(t *testing.T) {
	t.Parallel()
	const count = 1_000_000
	for seed, numbers := range map[uint64]uint64{0: 1_000, 1: count, math.MaxUint64: 1_000} {
		users := NewUsers(seed)
		seen := make(map[string]bool, numbers)
		for i := range numbers {
			name := users.Name(i)
			number, ok := users.Number(name)
			if !ok || i != number {
				t.Fatalf("%s is %d, %t, and was %d", name, number, ok, i)
			}
			seen[name] = true
		}
		require.Len(t, seen, int(numbers))
	}
	require.NotEqual(t, NewUsers(1).Name(0), NewUsers(2).Name(0))
}

func TestOtherNamesTellNoNumber(t *testing.T) {
	t.Parallel()
	users := NewUsers(1)
	name := users.Name(5)
	for _, other := range []string{"", "u-", name + "0", name[:len(name)-1], "x" + name[1:], "u-000000000000000g", "u-00000000000000AB"} {
		_, ok := users.Number(other)
		require.False(t, ok, other)
	}
}

func TestTheSeedFixesThePlan(t *testing.T) {
	t.Parallel()
	for _, profile := range Profiles {
		p := plan(profile)
		p.Campaigns = 3
		first := all(p, Whole)
		require.Equal(t, first, all(p, Whole))
		require.True(t, slices.IsSortedFunc(first, func(a, b Apply) int { return int(a.At - b.At) }), profile)
		require.EqualValues(t, len(first), p.Count(Whole))
		p.Seed++
		require.NotEqual(t, first, all(p, Whole))
	}
}

func TestShardsTogetherAreThePlan(t *testing.T) {
	t.Parallel()
	for _, profile := range Profiles {
		p := plan(profile)
		var together []Apply
		for i := range uint64(3) {
			shard := Shard{i, 3}
			for _, a := range all(p, shard) {
				require.Equal(t, i, a.User%3)
				together = append(together, a)
			}
		}
		slices.SortFunc(together, byTime)
		require.Equal(t, slices.SortedFunc(slices.Values(all(p, Whole)), byTime), together, profile)
	}
}

func TestHowOftenUsersCome(t *testing.T) {
	t.Parallel()
	for profile, times := range map[string]func(user uint64) int{
		Drop:        func(uint64) int { return 1 },
		Flat:        func(uint64) int { return 1 },
		DoubleClick: func(uint64) int { return 2 },
		MembersRetry: func(user uint64) int {
			if user < 100 {
				return 11
			}
			return 1
		},
		Mixed: func(user uint64) int { return []int{2, 4, 1, 1, 1}[user%5] },
	} {
		came := map[uint64]int{}
		for _, a := range all(plan(profile), Whole) {
			came[a.User]++
		}
		require.Len(t, came, 20_000, profile)
		for user, n := range came {
			require.Equal(t, times(user), n, "%s: user %d", profile, user)
		}
	}
}

func TestDoubleClicksFollowSoon(t *testing.T) {
	t.Parallel()
	first := map[uint64]time.Duration{}
	for _, a := range all(plan(DoubleClick), Whole) {
		if at, clicked := first[a.User]; clicked {
			require.GreaterOrEqual(t, a.At-at, 50*time.Millisecond)
			require.LessOrEqual(t, a.At-at, 300*time.Millisecond)
		}
		first[a.User] = a.At
	}
}

func TestTheShapeOfADrop(t *testing.T) {
	t.Parallel()
	by := func(p Plan, at time.Duration) (share float64) {
		for _, a := range all(p, Whole) {
			if a.At <= at {
				share += 1 / float64(p.Users)
			}
		}
		return share
	}
	require.InDelta(t, 0.5, by(plan(Drop), 500*time.Millisecond), 0.02)
	require.InDelta(t, 0.8, by(plan(Drop), 2*time.Second), 0.02)
	require.InDelta(t, 1, by(plan(Drop), 10*time.Second), 1e-9)
	require.InDelta(t, 0.3, by(plan(Flat), 3*time.Second), 0.02)
	require.InDelta(t, 1, by(plan(Flat), 10*time.Second), 1e-9)
}

func TestEachCampaignIsWantedHalfAsMuchAsTheOneBeforeOrAlike(t *testing.T) {
	t.Parallel()
	p := plan(Mixed)
	p.Campaigns = 3
	wanted := make([]float64, 3)
	for user := range p.Users {
		campaign := p.CampaignOf(user)
		require.True(t, p.Has(user, campaign))
		require.False(t, p.Has(user, (campaign+1)%3))
		wanted[campaign] += 1 / float64(p.Users)
	}
	require.InDeltaSlice(t, []float64{4. / 7, 2. / 7, 1. / 7}, wanted, 0.02)

	p.Even, wanted = true, make([]float64, 3)
	for user := range p.Users {
		wanted[p.CampaignOf(user)] += 1 / float64(p.Users)
	}
	require.InDeltaSlice(t, []float64{1. / 3, 1. / 3, 1. / 3}, wanted, 0.02)
	require.False(t, p.Has(p.Users, p.CampaignOf(p.Users)))
}

func TestParseShard(t *testing.T) {
	t.Parallel()
	shard, err := ParseShard("2/3")
	require.NoError(t, err)
	require.Equal(t, Shard{2, 3}, shard)
	for _, wrong := range []string{"", "1", "3/3", "-1/3", "0/0", "1/2x", "1/2 3"} {
		_, err := ParseShard(wrong)
		require.Error(t, err, wrong)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	require.NoError(t, Complete([]Shard{Whole}))
	require.NoError(t, Complete([]Shard{{2, 3}, {0, 3}, {1, 3}}))
	require.EqualError(t, Complete([]Shard{{0, 3}, {2, 3}}), "shard 1/3 is missing")
	require.EqualError(t, Complete([]Shard{{0, 2}, {1, 2}, {0, 2}}), "shard 0/2 is there twice")
	require.EqualError(t, Complete([]Shard{{0, 2}, {1, 3}}), "shards 0/2 and 1/3 are not of one run")
}
