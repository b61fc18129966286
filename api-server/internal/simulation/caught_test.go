package simulation

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const seedsABug = 300 // within which a planted bug must be caught

// TestTheSimulationSeesPlantedBugs gives the programs one mistake after the other: a suite that never fails is no evidence.
// The seed is one that catches it; after a change of the programs another one may, and should be written here.
func TestTheSimulationSeesPlantedBugs(t *testing.T) {
	for _, planted := range []struct {
		bug  bug
		seed uint64
	}{
		{noSeal, 2},
		{viewConfirms, 70},
		{noDrain, 3},
		{lateFence, 161},
		{timeoutIsAck, 7},
		{forgetEarly, 7},
		{soldOutForEver, 1},
		{noCarriedKeys, 147},
		{noRowKeys, 1},
		{offsetFirst, 60},
		{swallowedError, 10},
		{serialsAgain, 1},
		{soldTwice, 147},
		{noEpochCheck, 70},
	} {
		t.Run(string(planted.bug), func(t *testing.T) {
			seed, found := catch(t, planted.bug, planted.seed)
			require.NotEmptyf(t, found, "not caught within %d seeds", seedsABug)
			t.Logf("caught by seed %d: %s", seed, found[0])
		})
	}
}

// catch returns a seed in which the bug shows, and what it shows as: likely, or else the first.
func catch(t *testing.T, planted bug, likely uint64) (seed uint64, found []string) {
	t.Helper()
	if found = simulate(t, likely, planted, nil).found; len(found) > 0 {
		return likely, found
	}
	for seed = 1; seed <= seedsABug; seed++ {
		if found = simulate(t, seed, planted, nil).found; len(found) > 0 {
			return seed, found
		}
	}
	return 0, nil
}
