package floor

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/kafkastream"
	"github.com/seonchak/seonchak/pkg/testenv"
	"github.com/seonchak/seonchak/tools/drop"
	"github.com/seonchak/seonchak/tools/load/arrival"
	"github.com/seonchak/seonchak/tools/load/token"
	"github.com/seonchak/seonchak/tools/load/told"
)

var secret = []byte(strings.Repeat("s", 32))

func ask(s Server, name, value string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodPost, "/v1/campaigns/winter/apply", http.NoBody)
	request.Header.Set(name, value)
	response := httptest.NewRecorder()
	s.handler().ServeHTTP(response, request)
	return response
}

func TestTheSameBytes(t *testing.T) {
	t.Parallel()
	s := Server{Answer: Answer{
		Status: 409, Header: map[string]string{"Content-Type": "application/problem+json", "Retry-After": "1"}, Body: `the same to all`,
	}}
	response := ask(s, "X-User-Id", "u-1")
	require.Equal(t, 409, response.Code)
	require.Equal(t, `the same to all`, response.Body.String())
	require.Equal(t, http.Header{
		"Content-Type": {"application/problem+json"}, "Content-Length": {"15"}, "Retry-After": {"1"},
	}, response.Header())
}

func TestTokensAreVerified(t *testing.T) {
	t.Parallel()
	var user string
	s := Server{Answer: Answer{Status: 202}, Secret: secret, Claim: func(_ context.Context, name string) error {
		user = name
		return nil
	}}
	good := string(token.NewKey(secret, time.Now().Add(time.Hour)).Append(nil, "u-1"))
	require.Equal(t, 202, ask(s, "Authorization", "Bearer "+good).Code)
	require.Equal(t, "u-1", user)
	require.Equal(t, 500, ask(s, "Authorization", "Bearer "+good+"x").Code)
	require.Equal(t, 500, ask(s, "X-User-Id", "u-1").Code)
}

func TestAClaimIsOneEvalSHA(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t)
	claim, closer, err := Claimer(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, claim(t.Context(), "u-1"))
	require.NoError(t, claim(t.Context(), "u-1"))
	require.NoError(t, closer())

	options, err := redis.ParseURL(url)
	require.NoError(t, err)
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	keys := keysOf(ownName())
	defer func() { require.NoError(t, client.Del(context.WithoutCancel(t.Context()), keys...).Err()) }()
	for _, want := range []struct {
		user   string
		serial int64
	}{{"u-1", 1}, {"u-2", 2}, {"u-1", 0}} {
		serial, err := once.Run(t.Context(), client, keys, want.user).Int64()
		require.NoError(t, err)
		require.Equal(t, want.serial, serial)
	}
}

func TestStores(t *testing.T) {
	t.Parallel()
	const lasts = 50 * time.Millisecond
	for name, open := range map[string]func(t *testing.T) (*Store, error){
		Redis: func(t *testing.T) (*Store, error) { return OnRedis(t.Context(), testenv.Redis(t)) },
		Kafka: func(t *testing.T) (*Store, error) { return OnKafka(t.Context(), strings.Join(testenv.Kafka(t), ",")) },
		MySQL: func(t *testing.T) (*Store, error) { return OnMySQL(t.Context(), testenv.MySQL(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := open(t)
			require.NoError(t, err)
			claims, took, err := store.Round(t.Context(), lasts)
			require.NoError(t, err)
			require.Positive(t, claims)
			require.GreaterOrEqual(t, took, lasts)
			require.NoError(t, store.Close())
			_, _, err = store.Round(t.Context(), time.Minute)
			require.Error(t, err, "nothing is left")
		})
	}
}

func TestAProducerFollowsAPlan(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct {
		open   func(ctx context.Context, brokers string) (*Producer, error)
		closed error
	}{Own: {NewProducer, kafkastream.ErrClosed}, Writer: {NewWriter, io.ErrClosedPipe}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := kind.open(t.Context(), strings.Join(testenv.Kafka(t), ","))
			require.NoError(t, err)
			plan := arrival.Plan{Profile: arrival.Flat, Users: 200, Over: 100 * time.Millisecond, Campaigns: 1, Seed: 1}
			result, err := p.Follow(t.Context(), plan.Stream(arrival.Whole))
			require.NoError(t, err)
			require.EqualValues(t, 200, result.Count(told.Accepted))
			require.Positive(t, result.Percentile(50, told.Accepted))
			require.Greater(t, result.Took, 50*time.Millisecond, "as the plan says, not at once")
			require.NoError(t, p.Close())
			_, err = p.Follow(t.Context(), plan.Stream(arrival.Whole))
			require.ErrorIs(t, err, kind.closed)
		})
	}
}

func TestRowsAreWritten(t *testing.T) {
	t.Parallel()
	dsn := testenv.MySQL(t)
	store, err := OnMySQL(t.Context(), dsn)
	require.NoError(t, err)
	claims, _, err := store.Round(t.Context(), time.Millisecond)
	require.NoError(t, err)
	db, err := drop.Open(dsn)
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	require.Equal(t, claims, rowsOf(t, db))
	more, _, err := store.Claims(t.Context(), 2*inserted+1)
	require.NoError(t, err)
	require.GreaterOrEqual(t, more, int64(2*inserted+1))
	require.LessOrEqual(t, more, int64((2+1+inFlight)*inserted), "it stops there")
	require.Equal(t, claims+more, rowsOf(t, db))
	require.NoError(t, store.Close())
}

func rowsOf(t *testing.T, db *sql.DB) (rows int64) {
	t.Helper()
	var table string
	require.NoError(t, db.QueryRow(`SELECT table_name FROM information_schema.tables
		WHERE table_schema = DATABASE() AND table_name LIKE 'load_floor_%'`).Scan(&table))
	require.NoError(t, db.QueryRow(`SELECT COUNT(*) FROM `+table).Scan(&rows))
	return rows
}
