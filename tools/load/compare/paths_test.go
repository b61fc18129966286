package compare

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/drive"
)

// busy is a server that sends everybody away so many times, and then grants.
type busy struct {
	mu    sync.Mutex
	times int
	tries map[string]int
}

func (b *busy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	user := r.Header.Get("X-User-Id")
	b.tries[user]++
	if b.tries[user] <= b.times {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, `{"status":503,"code":"overloaded"}`)
		return
	}
	w.Header().Set("Location", "somewhere")
	if b.tries[user] == b.times+1 {
		w.WriteHeader(http.StatusAccepted)
	} else {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	_, _ = fmt.Fprintf(w, `{"campaign_id":"winter","user_id":%q,"n":1,"serial":%d,"status":"accepted"}`, user, len(b.tries))
}

func TestHoldersAreMadeUntilAllHold(t *testing.T) {
	t.Parallel()
	for times, fails := range map[int]bool{0: false, 2: false, 1_000: true} {
		b := &busy{times: times, tries: map[string]int{}}
		server := httptest.NewServer(b)
		t.Cleanup(server.Close)
		crowd := &applicants{options: drive.Options{
			Servers: []string{strings.TrimPrefix(server.URL, "http://")}, Campaigns: []string{"winter"}, Users: arrival.NewUsers(1),
			Connections: 2, Timeout: time.Second,
		}}
		err := (&comparison{}).grantFirst(t.Context(), crowd, 5)
		require.Equal(t, fails, err != nil, err)
		require.Len(t, b.tries, 5)
	}
}
