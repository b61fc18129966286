package drive

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/token"
	"github.com/seonchak/seonchak/tools/load/told"
	"github.com/seonchak/seonchak/tools/load/witness"
)

// server answers applies over pipes, so that a test has its time for itself.
type server struct {
	mu      sync.Mutex
	headers []http.Header
	before  func() // each answer
	serial  int
	serials map[string]int
}

func (s *server) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	go s.serve(theirs)
	return ours, nil
}

func (s *server) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if s.before != nil {
			s.before()
		}
		user := request.Header.Get("X-User-Id")
		if user == "" {
			user, _ = token.NewKey(secret, time.Now()).Verify(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "), time.Now())
		}
		_, _ = io.WriteString(conn, s.answer(request, user))
	}
}

func (s *server) answer(request *http.Request, user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers = append(s.headers, request.Header)
	status, replayed := "202 Accepted", ""
	if s.serials[user] == 0 {
		s.serial++
		s.serials[user] = s.serial
	} else {
		status, replayed = "200 OK", "Idempotent-Replayed: true\r\n"
	}
	body := fmt.Sprintf(`{"campaign_id":"%s","user_id":"%s","n":1,"serial":%d,"status":"accepted"}`,
		strings.Split(request.URL.Path, "/")[3], user, s.serials[user])
	return fmt.Sprintf("HTTP/1.1 %s\r\nLocation: x\r\n%sContent-Length: %d\r\n\r\n%s", status, replayed, len(body), body)
}

var secret = []byte(strings.Repeat("s", 32))

func newServer() *server { return &server{serials: map[string]int{}} }

func options(s *server, connections int) Options {
	return Options{
		Servers: []string{"shop"}, Campaigns: []string{"winter"}, Users: arrival.NewUsers(1), Connections: connections,
		Timeout: time.Minute, Dial: s.dial,
	}
}

// evenly hands out an apply every so often.
type evenly struct {
	every time.Duration
	next  int
	count int
}

func (e *evenly) Next() (arrival.Apply, bool) {
	i := e.next
	e.next++
	return arrival.Apply{At: time.Duration(i) * e.every, User: uint64(i)}, i < e.count
}

// A server that stands still for a second is seen by all who meant to apply in that second, although hardly anybody could.
func TestAStallIsSeenInAllIntendedSends(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			begin := time.Now()
			s.before = func() {
				if !open {
					<-time.After(40 * time.Millisecond) // else a closed model has no rate
				}
				if now := time.Since(begin); now >= time.Second && now < 2*time.Second {
					<-time.After(2*time.Second - now)
				}
			}
			o := options(s, 4)
			o.Open = open
			result, err := New(o, &evenly{every: 10 * time.Millisecond, count: 300}).Run(t.Context(), begin)
			require.NoError(t, err)
			require.EqualValues(t, 300, result.Count(told.Accepted))
			slow := result.Latency[told.Accepted]
			if !open { // four connections, four answers: that is what coordinated omission hides
				require.InDelta(t, 4, slow.TotalCount()-countUpTo(slow, 100*time.Millisecond), 0)
				return
			}
			for _, more := range []time.Duration{100, 500, 900} {
				bound := more * time.Millisecond
				want := (time.Second - bound) / (10 * time.Millisecond) // those meant to be sent long enough before the end
				require.InDelta(t, int(want), slow.TotalCount()-countUpTo(slow, bound), 1, bound)
			}
			require.InDelta(t, 1000, float64(slow.Max())/1e3, 10)
			require.InDelta(t, 960, float64(result.Late.Max())/1e3, 20)
		})
	}
}

func countUpTo(h interface {
	ValueAtQuantile(float64) int64
	TotalCount() int64
}, bound time.Duration,
) (n int64) {
	for n < h.TotalCount() && h.ValueAtQuantile(100*(float64(n)+0.5)/float64(h.TotalCount())) <= bound.Microseconds() {
		n++
	}
	return n
}

func TestOpenSendsAtThePlannedTimesAndBegins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		var sent []time.Duration
		begin := time.Now().Add(5 * time.Second)
		s.before = func() { sent = append(sent, time.Since(begin)) }
		o := options(s, 1)
		o.Open = true
		result, err := New(o, &evenly{every: 300 * time.Millisecond, count: 4}).Run(t.Context(), begin)
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond, 900 * time.Millisecond}, sent)
		require.Equal(t, begin, result.Begin)
		require.Equal(t, 900*time.Millisecond, result.Took)
		require.EqualValues(t, 0, result.Late.Max())
	})
}

// Who begins late has missed sends, and the plan does not wait for it.
func TestALateBeginningIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().Add(-2 * time.Second)
		o := options(newServer(), 1)
		o.Open = true
		result, err := New(o, &evenly{every: time.Second, count: 4}).Run(t.Context(), begin)
		require.NoError(t, err)
		require.Equal(t, begin, result.Begin)
		require.Equal(t, 3*time.Second, result.Took)
		require.InEpsilon(t, 2e6, float64(result.Latency[told.Accepted].Max()), 0.001)
		require.EqualValues(t, 2, result.Late.TotalCount()-countUpTo(result.Late, 0))

		result, err = New(o, &evenly{count: 1}).Run(t.Context(), time.Time{})
		require.NoError(t, err)
		require.Equal(t, time.Now(), result.Begin)
	})
}

func TestEachUserHasATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, auth := range [][]byte{nil, secret} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer()
			o := options(s, 8)
			o.Secret = auth
			o.Witness = witness.New(arrival.Plan{Users: 500, Campaigns: 1, Seed: 1}, o.Campaigns)
			result, err := New(o, &evenly{count: 500}).Run(t.Context(), time.Now())
			require.NoError(t, err)
			require.EqualValues(t, 500, result.Count(told.Accepted))
			require.Empty(t, result.Faults)
			seen := map[string]bool{}
			for _, h := range s.headers {
				seen[h.Get("Authorization")+h.Get("X-User-Id")] = true
				require.Equal(t, auth == nil, h.Get("Authorization") == "")
			}
			require.Len(t, seen, 500)
			require.Len(t, o.Witness.State().Promises, 500)
		})
	}
}

func TestAnotherOnesClaimIsAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		o := options(s, 1)
		o.Campaigns = []string{"winter"}
		o.Dial = func() (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				request, _ := http.ReadRequest(bufio.NewReader(theirs))
				_, _ = io.WriteString(theirs, s.answer(request, "somebody-else"))
			}()
			return ours, nil
		}
		result, err := New(o, &evenly{count: 1}).Run(t.Context(), time.Now())
		require.NoError(t, err)
		require.EqualValues(t, 1, result.Count(told.Other))
		require.Equal(t, map[string]int64{"the claim is another one's": 1}, result.Faults)

		o.Anybody = true
		result, err = New(o, &evenly{count: 1}).Run(t.Context(), time.Now())
		require.NoError(t, err)
		require.Empty(t, result.Faults)
	})
}

func TestServersThatGoAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := options(newServer(), 2)
		o.Dial = func() (net.Conn, error) {
			ours, theirs := net.Pipe()
			_ = theirs.Close()
			return ours, nil
		}
		result, err := New(o, &evenly{count: 10}).Run(t.Context(), time.Now())
		require.NoError(t, err)
		require.EqualValues(t, 10, result.Count(told.Unknown))
		require.Equal(t, 5*pause, result.Took)

		o.Dial = func() (net.Conn, error) { return nil, net.ErrClosed }
		_, err = New(o, &evenly{count: 10}).Run(t.Context(), time.Now())
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestAnInterruptedDriveReportsWhatItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		o := options(newServer(), 4)
		o.Open = true
		result, err := New(o, &evenly{every: 100 * time.Millisecond, count: 1000}).Run(ctx, time.Now())
		require.NoError(t, err)
		require.InDelta(t, 10, result.Count(told.Accepted), 1)
	})
}
