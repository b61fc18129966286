package service

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seonchak/seonchak/pkg/env"
)

// healthTimeout is below the 3 s and more that container engines give a check.
const healthTimeout = 2 * time.Second

// Healthcheck asks the admin listener of this machine at address whether its program is ready. The error says why not.
func Healthcheck(ctx context.Context, address env.Address) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.Reachable()+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true} // and no proxy: the listener is on this machine
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", request.URL, response.Status)
	}
	return nil
}

// healthcheck needs one setting only, so a mistake in another one does not make a running program look dead.
func (p Program[C]) healthcheck(system System, config C, mistakes error) int {
	var address env.Address
	if p.Admin != nil {
		address = p.Admin(config)
	}
	if address == "" {
		if mistakes != nil {
			return refuse(system.Stderr, p.Name, mistakes)
		}
		return exitOrderly
	}
	if err := Healthcheck(context.Background(), address); err != nil {
		_, _ = fmt.Fprintf(system.Stderr, "%s: not healthy: %v\n", p.Name, err) // the exit code is the answer
		return exitFailed
	}
	return exitOrderly
}
