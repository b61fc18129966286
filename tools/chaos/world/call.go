package world

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// callBound is how long one call of an operator or a user may take.
const callBound = 10 * time.Second

// Call makes a request with the JSON of body, nil for none, and returns the status and the answer.
func Call(ctx context.Context, method, url, user string, body any) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	var content []byte
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if user != "" {
		request.Header.Set("X-User-Id", user)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// Operate makes an operator's request of any api-server, again and again until one answers below 500, and returns what it
// said.
func (w *World) Operate(ctx context.Context, method, path string, body any) (status int, answer []byte, err error) {
	const pause = 100 * time.Millisecond
	for try := 0; ; try++ {
		server := w.Servers[try%len(w.Servers)]
		status, answer, err = Call(ctx, method, server.Admin+"/admin/v1"+path, "", body)
		if err == nil && status < http.StatusInternalServerError {
			return status, answer, nil
		}
		if Pause(ctx, pause) != nil {
			return status, answer, fmt.Errorf("%s %s: last answer %d %s: %w: %w", method, path, status, answer, ctx.Err(), err)
		}
	}
}
