package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
)

// The planted bug must be one: the user comes from the body, and the rest of the body is read as ever.
func TestThePlantedBugBelievesTheBody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		user string
		n    int
	}{
		`{"user_id":"mallory","n":2}`: {"mallory", 2},
		`{"n":2}`:                     {"u", 2},
		`{}`:                          {"u", 1},
	} {
		c, _ := gin.CreateTestContext(httptest.NewRecorder())
		c.Request = httptest.NewRequestWithContext(t.Context(), "POST", applyPath, strings.NewReader(body))
		user := believe(c, "u")
		n, err := readN(c)
		require.NoError(t, err)
		require.Equal(t, want.n, n)
		require.Equal(t, want.user, user)
	}
}
