package model

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// small is a system of two users and one place, on which a case says what else it needs.
func small(change func(c *Config)) Config {
	c := Config{Users: 2, Limit: 1, Nodes: 1, Epochs: 2, Wardens: 1, InFlight: 1}
	change(&c)
	return c
}

// breaking has, for each rule, a system in which its absence does harm.
var breaking = map[Rule]Config{
	Seal:             small(func(c *Config) { c.Nodes, c.Budget.Failovers = 2, 1 }),
	Confirm:          small(func(*Config) {}),
	ConfirmAfterAck:  small(func(*Config) {}),
	ReplayPublishes:  small(func(*Config) {}),
	MarkAfterAck:     small(func(*Config) {}),
	CarriedFromMySQL: small(func(c *Config) { c.Users, c.Budget = 1, Budget{Parks: 1, Discards: 1} }),
	EpochCheck:       small(func(*Config) {}),
	VoidKeepsPlace:   small(func(c *Config) { c.SQL = true }),
	SpareSerial:      small(func(c *Config) { c.Limit, c.Budget.Rewinds = 2, 1 }),

	FenceBeforeEnd: small(func(*Config) {}),
	Drain:          small(func(*Config) {}),
	NamedStep:      small(func(c *Config) { c.Users, c.Wardens, c.Epochs = 1, 2, 3 }),
	FreshRange:     small(func(c *Config) { c.Limit, c.Budget.Parks = 2, 1 }),
	CarriedCounted: small(func(c *Config) { c.Budget.Parks = 1 }),
	CarryPromises:  small(func(c *Config) { c.Epochs, c.Budget.Parks = 3, 2 }),
	CarriedFirst:   small(func(c *Config) { c.Users, c.Limit, c.Budget.Parks = 1, 2, 1 }),
	OwnerFirst:     small(func(c *Config) { c.Nodes, c.Budget.Failovers = 2, 1 }),
	WholeKeys:      small(func(c *Config) { c.Users, c.Limit, c.Budget = 1, 2, Budget{Parks: 1, Flushes: 1} }),
	SettleAtClose:  small(func(c *Config) { c.Limit, c.Pushers, c.Budget.Lowers = 2, 1, 1 }),

	SQLEpoch:  small(func(c *Config) { c.SQL, c.Epochs = true, 3 }),
	SQLWanted: small(func(c *Config) { c.SQL, c.Budget.Parks = true, 1 }),

	RangeFollowsHi:     small(func(c *Config) { c.Pushers, c.Epochs, c.Budget.Raises = 1, 1, 1 }),
	WantedWithinHi:     small(func(c *Config) { c.Pushers, c.Epochs, c.Budget = 1, 1, Budget{Raises: 1, Lowers: 1} }),
	NoRaiseInLowering:  small(func(c *Config) { c.Pushers, c.Epochs, c.Budget = 1, 1, Budget{Raises: 1, Lowers: 1} }),
	LowerInTwoPhases:   small(func(c *Config) { c.Pushers, c.Epochs, c.Budget.Lowers = 1, 1, 1 }),
	LoweringNamed:      small(func(c *Config) { c.Limit, c.Pushers, c.Epochs, c.Budget.Lowers = 2, 2, 1, 2 }),
	VersionedPush:      small(func(c *Config) { c.Pushers, c.Epochs, c.Budget = 2, 1, Budget{Raises: 1, Lowers: 1} }),
	DiscardCarriedOnly: small(func(c *Config) { c.Epochs, c.Budget = 1, Budget{Parks: 1, Discards: 1} }),
	DiscardReturnsOnce: small(func(c *Config) { c.Budget = Budget{Parks: 1, Discards: 1} }),
}

// A rule whose absence does no harm is no rule, or the search is blind.
func TestWithoutARuleAPromiseBreaks(t *testing.T) {
	t.Parallel()
	for _, rule := range Rules() {
		c, ok := breaking[rule]
		require.True(t, ok, "no system for %s", rule)
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			c.MaxStates = 2_000_000
			r := Search(c, rule)
			require.NotEmpty(t, r.Violation, "%d states, exhausted %t", r.States, r.Exhausted)
			require.NotContains(t, r.Trace, "", "every step of the trace has a name")
			t.Logf("%d steps, %d states: %s\n  %s", len(r.Trace), r.States, r.Violation, strings.Join(r.Trace, "\n  "))
		})
	}
}

// The same systems with every rule are sound, so it is the rule that made the difference.
func TestWithAllRulesTheSameSystemsAreSound(t *testing.T) {
	t.Parallel()
	for rule, c := range breaking {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			r := Search(c)
			requireSound(t, r)
			require.True(t, r.Exhausted)
		})
	}
}

// What a search with all rules drops from its states, because nothing can come of it, hides no violation in these systems.
func TestWhatIsDroppedHidesNothing(t *testing.T) {
	t.Parallel()
	for rule, c := range breaking {
		t.Run(rule.String(), func(t *testing.T) {
			t.Parallel()
			c.Plain = true
			c.MaxStates = boundOf()
			requireSound(t, Search(c))
		})
	}
}
