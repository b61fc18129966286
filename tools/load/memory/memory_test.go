package memory

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/load/measure"
	"github.com/seonchak/seonchak/tools/load/told"
)

// TestRedis holds the curve to what must be true of any: a claim costs something, and a pending one more.
func TestRedis(t *testing.T) {
	t.Parallel()
	testenv.PrivateRedis(t) // there is a redis-server, or the reason why not
	dir := t.TempDir()
	curve, err := OfRedis(t.Context(), dir, 5_000)
	require.NoError(t, err)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "the log, and not what Redis kept")
	require.Len(t, curve, steps)
	for i, p := range curve {
		require.Equal(t, 500*(i+1), p.Claims)
		require.Greater(t, p.Pending, p.Settled, "%+v", p)
		require.Positive(t, p.Cost, "%+v", p)
		require.Zero(t, p.Forks, "its file is too small to be written anew")
		require.Greater(t, p.Settled/int64(p.Claims), int64(36), "a name alone is longer: %+v", p)
		if i > 0 {
			require.Greater(t, p.Pending, curve[i-1].Pending)
		}
	}
}

func TestPointsOfACurve(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int{1, 1, 1, 1, 1, 1, 2, 2, 2, 3}, sizes(3))
	require.Equal(t, []int{1_000, 2_000}, sizes(20_000)[:2])
	require.Equal(t, []int{1_000, 10_000, 100_000, 200_000}, sizes(1_000_000)[:4])
	require.Len(t, sizes(1_000_000), len(few)+steps)
	beyond := sizes(10_500_000)
	require.Equal(t, []int{1_000_000, 2_000_000, 3_000_000}, beyond[len(few)+steps-1:len(few)+steps+2])
	for claims, points := range map[int]int{3: steps, 1_000_000: len(few) + steps, 10_500_000: len(few) + steps} {
		var curve []Point
		for _, size := range sizes(claims) {
			curve = append(curve, Point{Claims: size})
		}
		require.Equal(t, points, upToAMillion(curve))
	}
	require.Equal(t, []int{10_000_000, 10_500_000}, beyond[len(beyond)-2:])
}

func TestMoreClaimsThanThereIsMemoryFor(t *testing.T) {
	t.Parallel()
	const free = "MemTotal: 9999999999 kB\nMemFree: 1 kB\nMemAvailable:    5859375 kB\n"
	require.NoError(t, enough(free, 10_000_000))
	require.ErrorContains(t, enough(free, 10_000_010), "10,000,010 claims need 5,722 MB of memory, and 5,722 MB are free")
	require.ErrorContains(t, enough("MemFree: 1 kB\n", 1), "does not say")
	_, err := OfRedis(t.Context(), t.TempDir(), 1<<50)
	require.ErrorContains(t, err, "MB are free")
}

// TestAForkIsOfTheClaimsBeforeIt has a fork in the first interval, and none in the second.
func TestAForkIsOfTheClaimsBeforeIt(t *testing.T) {
	t.Parallel()
	begin, middle := spent{time.Second, 3, time.Hour}, spent{3 * time.Second, 4, time.Millisecond}
	var first, second Point
	first.cost(begin, middle, 1_000)
	second.cost(middle, spent{4 * time.Second, 4, time.Millisecond}, 1_000)
	require.Equal(t, Point{Cost: 2 * time.Millisecond, Forks: 1, Fork: time.Millisecond}, first)
	require.Equal(t, Point{Cost: time.Millisecond}, second)
}

func TestWhoGotAPlaceIsSaid(t *testing.T) {
	t.Parallel()
	r := Report{Answers: map[string]int{"accepted": 150, "issued": 30, "overloaded": 819, "pending": 1}}
	require.Equal(t, "accepted 15.0 %, issued 3.0 %, pending 0.1 % of the answers", r.Shares())
	var text strings.Builder
	require.NoError(t, r.Write(&text))
	require.Contains(t, text.String(), r.Shares())
	text.Reset()
	require.NoError(t, Report{}.Write(&text))
	require.NotContains(t, text.String(), "answers", "Redis alone was measured")
}

func TestNoAnswerIsOther(t *testing.T) {
	t.Parallel()
	var recorder measure.Recorder
	for _, a := range []told.Answer{
		{Kind: told.Accepted, HTTP: 202, Status: []byte("accepted")},
		{Kind: told.Pending, HTTP: 202, Status: []byte("pending")},
		{Kind: told.Overloaded, HTTP: 503, Code: []byte("overloaded")},
		{Kind: told.Other, HTTP: 503, Code: []byte("issuance_unavailable")},
		{Kind: told.Other, HTTP: 503, Code: []byte("issuance_unavailable")},
		{Kind: told.Unknown},
	} {
		recorder.Add(0, measure.Sample{Answer: a})
	}
	require.Equal(t, map[string]int{"accepted": 1, "pending": 1, "overloaded": 1, "issuance_unavailable": 2, "unknown": 1},
		answers(recorder.Result(time.Time{}, time.Second)))
}

func TestNamesAreDistinctAndLong(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range crowdOf("c", 0, 100_000) {
		require.Len(t, key.User, 36)
		seen[key.User] = true
	}
	require.Len(t, seen, 100_000)
}

func TestMoreFilesThanTheSystemAllows(t *testing.T) {
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	require.NoError(t, allowFiles(10))
	require.ErrorContains(t, allowFiles(1<<40), "ulimit -n")
	var after syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after))
	require.Equal(t, limit, after)
}

func TestWhatIsAboveItsBoundIsSaidToBe(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	require.NoError(t, Report{Figures: []Figure{figure(Idle, 59.9), figure(Applying, 251), figure(Floor, 999)}}.Write(&text))
	lines := strings.Split(text.String(), "\n")
	require.Regexp(t, `idle.* 59\.9 +at most 60 *$`, lines[0])
	require.Regexp(t, `gin.* 999\.0 *$`, lines[2])
	require.Regexp(t, `applying.* 251\.0 +at most 250 +above it$`, lines[1])
}
