package trial

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWhoWaitsForAQueryThatIsLateIsLateToo has one query that takes 30 ms: those that were due meanwhile are late as well.
func TestWhoWaitsForAQueryThatIsLateIsLateToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin, slow := time.Now(), 30*time.Millisecond
		p := newProbe(func() error {
			<-time.After(slow)
			slow = 0
			return nil
		})
		go p.run()
		<-time.After(12 * time.Millisecond)
		all, err := p.stop()
		require.NoError(t, err)
		ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		require.Equal(t, []asked{{begin, ms(30)}, {begin.Add(ms(5)), ms(25)}, {begin.Add(ms(10)), ms(20)}}, all)
		require.Equal(t, []time.Duration{ms(25)}, dueWithin(all, begin.Add(ms(1)), begin.Add(ms(9))))
	})
}

func TestAProbeThatIsNotAnsweredSaysSo(t *testing.T) {
	t.Parallel()
	away := errors.New("the database is away")
	synctest.Test(t, func(t *testing.T) {
		p := newProbe(func() error { return away })
		go p.run()
		synctest.Wait()
		_, err := p.stop()
		require.ErrorIs(t, err, away)
	})
}
