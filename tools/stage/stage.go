// Package stage brings up the programs on a database of their own and opens campaigns for a crowd.
package stage

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/token"
	"github.com/seonchak/seonchak/tools/procs"
)

// openWithin is far above what the servers promise, 2 s.
const openWithin = 10 * time.Second

// Options says what a Stage needs.
type Options struct {
	Stores procs.Stores
	Bin    string // folder of the programs
	Logs   string // folder for their logs
	Secret []byte // nil: AUTH_MODE=dev
}

// Stage is an api-server on a database and a consumer group of its own.
type Stage struct {
	*procs.Site
	Server *procs.APIServer
	DB     *sql.DB

	options Options
}

// New brings up an api-server, and no consumer.
func New(ctx context.Context, options Options) (*Stage, error) {
	site, err := procs.NewSite(ctx, options.Stores, options.Bin, options.Logs)
	if err != nil {
		return nil, err
	}
	s := &Stage{Site: site, options: options}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stage) start(ctx context.Context) (err error) {
	if s.DB, err = drop.Open(s.DSN); err != nil {
		return err
	}
	env := []string{"LOG_LEVEL=warn"}
	if s.options.Secret != nil {
		env = append(env, "AUTH_MODE=jwt", "JWT_HMAC_SECRET="+string(s.options.Secret))
	}
	s.Server, err = s.StartAPIServer(ctx, env...)
	return err
}

// Address returns host:port of the public listener.
func (s *Stage) Address() string { return strings.TrimPrefix(s.Server.URL, "http://") }

// Open makes a campaign and returns its id once the server takes applies for it.
func (s *Stage) Open(ctx context.Context, limit int) (campaign string, err error) {
	campaign = "drop-" + strings.ToLower(rand.Text()[:10])
	now := time.Now().UTC()
	body, err := json.Marshal(map[string]any{
		"id": campaign, "name": "Drop", "limit": limit, "status": "active",
		"starts_at": now.Add(-time.Minute).Format(time.RFC3339), "ends_at": now.Add(24 * time.Hour).Format(time.RFC3339),
	})
	if err != nil {
		return "", err
	}
	if _, err := s.call(ctx, http.MethodPost, s.Server.Admin+"/admin/v1/campaigns", body, http.StatusCreated); err != nil {
		return "", err
	}
	return campaign, s.awaitOpen(ctx, campaign)
}

func (s *Stage) awaitOpen(ctx context.Context, campaign string) error {
	const poll = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, openWithin)
	defer cancel()
	for {
		body, err := s.call(ctx, http.MethodGet, s.Server.URL+"/v1/campaigns/"+campaign, nil, http.StatusOK)
		if err == nil && bytes.Contains(body, []byte(`"availability":"open"`)) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the campaign does not open: %s: %w", body, ctx.Err()), err)
		case <-time.After(poll):
		}
	}
}

// call makes a request as an operator and returns the body of the answer, which must have the status.
func (s *Stage) call(ctx context.Context, method, url string, body []byte, status int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	if s.options.Secret != nil {
		operator := token.NewKey(s.options.Secret, time.Now().Add(time.Minute))
		request.Header.Set("Authorization", "Bearer "+string(operator.AppendScoped(nil, "operator", "coupon:admin")))
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != status {
		return content, fmt.Errorf("%s %s: %s: %s", method, url, response.Status, content)
	}
	return content, nil
}

// AwaitRest returns when the consumer has finished everything and the campaign has so many rows. It is an error when there
// are fewer and no more come: who was promised one has none.
func (s *Stage) AwaitRest(ctx context.Context, campaign string, rows int64) error {
	return awaitRows(ctx, s.DB, campaign, drop.Wait{Rows: rows, Backlog: s.Backlog})
}

func awaitRows(ctx context.Context, db *sql.DB, campaign string, wait drop.Wait) error {
	rest, err := drop.WaitForRest(ctx, db, campaign, wait)
	if err == nil && rest.Rows < wait.Rows {
		return fmt.Errorf("campaign %s has %d rows of %d, and no more come", campaign, rest.Rows, wait.Rows)
	}
	return err
}

// Close ends the programs and drops the database.
func (s *Stage) Close() error {
	var failed error
	if s.DB != nil {
		failed = s.DB.Close()
	}
	return errors.Join(failed, s.Site.Close())
}
