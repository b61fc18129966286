package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func (s *site) get(url string, header ...string) (status int, body string) {
	s.tb.Helper()
	return s.send(http.MethodGet, url, "", header...)
}

func (s *site) post(url, body string, header ...string) (status int, answer string) {
	s.tb.Helper()
	return s.send(http.MethodPost, url, body, header...)
}

// send sends one request; header is names and values by turns.
func (s *site) send(method, url, body string, header ...string) (status int, answer string) {
	s.tb.Helper()
	request, err := http.NewRequestWithContext(s.tb.Context(), method, url, strings.NewReader(body))
	require.NoError(s.tb, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.tb, err)
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	require.NoError(s.tb, err)
	return response.StatusCode, string(content)
}

// field returns a member of a JSON object, as text; "" without it.
func field(tb testing.TB, body, name string) string {
	tb.Helper()
	var object map[string]any
	require.NoError(tb, json.Unmarshal([]byte(body), &object), body)
	if value, ok := object[name]; ok && value != nil {
		return fmt.Sprint(value)
	}
	return ""
}
