package trial

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/lab/strategy"
	"github.com/seonchak/seonchak/tools/load/client"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// told is a try that was sent at one millisecond after noon and answered at another.
func told(user string, sent, received int, outcome strategy.Outcome) try {
	ms := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Millisecond) }
	return try{user: user, sent: ms(sent), received: ms(received), outcome: outcome}
}

// numbered is a try whose answer named a number.
func numbered(t try, serial int64) try {
	t.serial = serial
	return t
}

func TestJudge(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		tries  []try
		record Record
		want   Verdict
	}{
		"all is well": {
			[]try{told("a", 0, 2, strategy.Granted), told("a", 3, 4, strategy.Replayed), told("b", 1, 3, strategy.SoldOut)},
			Record{Rows: []string{"a"}, Counted: new(1)},
			Verdict{},
		},
		"too many": {nil, Record{Rows: []string{"a", "b", "a"}, Counted: new(2)}, Verdict{Over: 2, Twice: 1, Miscounted: 1}},
		"a promise without a row": {
			[]try{told("a", 0, 1, strategy.Replayed), told("b", 0, 1, strategy.SoldOut)}, Record{}, Verdict{Lost: 1},
		},
		"nobody has it":         {[]try{told("a", 0, 1, strategy.SoldOut)}, Record{}, Verdict{Burned: 1}},
		"queued and forgotten":  {[]try{told("a", 0, 1, strategy.Queued)}, Record{}, Verdict{Lost: 1}},
		"queued and decided":    {[]try{told("a", 0, 1, strategy.Queued)}, Record{Decided: map[string]bool{"a": true}}, Verdict{}},
		"refused, with nothing": {[]try{told("a", 0, 1, strategy.Refused)}, Record{}, Verdict{Wrong: 1}},
		"granted twice":         {[]try{told("a", 0, 1, strategy.Granted), told("a", 0, 1, strategy.Granted)}, Record{Rows: []string{"a"}}, Verdict{Wrong: 1}},
		"a holder told that all are gone": {
			[]try{told("a", 0, 1, strategy.Granted), told("a", 2, 3, strategy.SoldOut)}, Record{Rows: []string{"a"}}, Verdict{Wrong: 1},
		},
		"a count that nobody raised": {nil, Record{Rows: []string{"a"}, Counted: new(0)}, Verdict{Miscounted: 1}},
		"told only that all are gone, with a row": {
			[]try{told("a", 0, 1, unknown), told("a", 2, 3, strategy.SoldOut)}, Record{Rows: []string{"a"}}, Verdict{Wrong: 1},
		},
		"the number of the row": {
			[]try{numbered(told("a", 0, 1, strategy.Granted), 7)},
			Record{Rows: []string{"a"}, Serials: map[string]int64{"a": 7}},
			Verdict{},
		},
		"another number than the row's": {
			[]try{numbered(told("a", 0, 1, strategy.Granted), 7)},
			Record{Rows: []string{"a"}, Serials: map[string]int64{"a": 8}},
			Verdict{Wrong: 1},
		},
		"a click answered late": {
			[]try{told("a", 0, 1, strategy.Granted), told("a", 0, 3, strategy.SoldOut)}, Record{Rows: []string{"a"}}, Verdict{},
		},
		"who was sent away came first": {
			[]try{told("a", 0, 1, busy), told("a", 4, 5, strategy.SoldOut), told("b", 2, 3, strategy.Granted)},
			Record{Rows: []string{"b"}},
			Verdict{Unordered: 1},
		},
		"nobody answers": {[]try{told("a", 0, 1, unknown)}, Record{}, Verdict{Unanswered: 1}},
		"rewards": {
			nil, Record{Rows: []string{"a"}, Rewards: map[string]int{"b": 3}}, Verdict{Over: 1, Twice: 2, Lost: 1},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, judge(1, c.tries, c.record))
		})
	}
}

func TestJudgePoints(t *testing.T) {
	t.Parallel()
	tries := []try{told("", 0, 1, strategy.Granted), told("", 0, 1, strategy.Granted), told("", 0, 1, unknown)}
	require.Equal(t, Verdict{}, judgePoints(tries, Record{Points: 20}))
	require.Equal(t, Verdict{}, judgePoints(tries, Record{Points: 30}))
	require.Equal(t, Verdict{Lost: 1}, judgePoints(tries, Record{Points: 10}))
	require.Equal(t, Verdict{Twice: 1}, judgePoints(tries, Record{Points: 40}))
	require.Equal(t, Verdict{Wrong: 1}, judgePoints(tries, Record{Points: 20, Grade: 9}))
}

func TestJudgeSeat(t *testing.T) {
	t.Parallel()
	var turns []try
	for i, user := range []string{"a", "b", "c"} {
		turns = append(turns, told(user, 10*i, 10*i+1, strategy.Granted), told(user, 10*i+2, 10*i+2, gaveBack))
	}
	kept := slices.Concat(turns, []try{told("d", 40, 41, strategy.Granted)})
	require.Equal(t, Verdict{}, judgeSeat(kept, Record{Rows: []string{"d"}, Counted: new(1)}))
	require.Equal(t, Verdict{Burned: 1}, judgeSeat(turns, Record{}))
	require.Equal(t, Verdict{Lost: 1}, judgeSeat(kept, Record{}))
	require.Equal(t, Verdict{Lost: 1}, judgeSeat(kept, Record{Rows: []string{"a"}}))
	two := slices.Concat(kept, []try{told("e", 50, 51, strategy.Granted)})
	require.Equal(t, Verdict{Over: 1}, judgeSeat(two, Record{Rows: []string{"d", "e"}}))
	require.Equal(t, Verdict{Over: 1, Lost: 1}, judgeSeat(two, Record{Rows: []string{"d"}}))
}

func TestAnAnswerIsRead(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status   int
		replayed bool
		body     string
		outcome  strategy.Outcome
		serial   int64
	}{
		{202, false, `{"serial":7,"status":"accepted"}`, strategy.Granted, 7},
		{200, true, `{"serial":7,"status":"accepted"}`, strategy.Replayed, 7},
		{200, true, `{"serial":null,"status":"pending"}`, busy, 0},
		{200, false, `{"code":"granted"}`, strategy.Granted, 0},
		{202, false, `{"code":"queued"}`, strategy.Queued, 0},
		{409, false, `{"code":"sold_out"}`, strategy.SoldOut, 0},
		{500, false, ``, odd, 0},
	}
	for _, c := range cases {
		outcome, serial := read(client.Response{Status: c.status, Replayed: c.replayed, Body: []byte(c.body)}, nil)
		require.Equal(t, c.outcome, outcome, "%+v", c)
		require.Equal(t, c.serial, serial, "%+v", c)
	}
}

// TestOnlyAnAnswerIsCounted has one user answered at the second try, one who comes again in vain, and one told nonsense.
func TestOnlyAnAnswerIsCounted(t *testing.T) {
	t.Parallel()
	var c Crowd
	for _, outcome := range []strategy.Outcome{strategy.SoldOut, busy, odd, unknown, strategy.Queued} {
		c.end(time.Second, try{outcome: outcome})
	}
	c.repeats.Add(3)
	result := c.result(Case{Workload: Drop}, 2*time.Second, Record{})
	require.Equal(t, 1, result.Answered)
	require.InDelta(t, 0.5, result.PerSecond, 0.001)
	require.Equal(t, int64(3), result.Repeats)
}
