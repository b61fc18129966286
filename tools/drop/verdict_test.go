package drop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachFaultAloneIsEnough(t *testing.T) {
	t.Parallel()
	for i, v := range []Verdict{
		{Over: 1}, {Under: 1}, {Twice: 1}, {Lost: 1}, {Failed: 1}, {Wrong: 1}, {Phantom: 1}, {Unordered: 1}, {Gaps: 1}, {Miscounted: 1},
	} {
		require.False(t, v.OK(), i)
	}
	require.True(t, Verdict{Limit: 5, Issued: 5, Epoch: 2, Gaps: 1}.OK())
}

func TestVerdictInWords(t *testing.T) {
	t.Parallel()
	v := Verdict{Limit: 1000, Issued: 1_234_567}
	for range mostFindings + 3 {
		v.count(&v.Lost, 1, "gone")
	}
	require.Contains(t, v.String(), "limit 1,000\nissued 1,234,567\nover 0\nunder 0\ntwice 0\nlost 23\nfailed 0\n")
	require.Contains(t, v.String(), "  gone\n  and 3 more\n")
	require.False(t, v.OK())
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 1_234_567: "1,234,567", -12_345: "-12,345"} {
		require.Equal(t, want, Number(n))
	}
}
