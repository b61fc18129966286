package soldout

import (
	"fmt"
	"hash/maphash"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

func TestOnlyAllHoldersAreOfUse(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.shelf.pages = [][]coupon.Key{keys("h", 2), {key("h1")}} // h2 is missing
		b.hears(soldOutAt3...)
		pass(100 * time.Millisecond)
		b.hears(soldOutAt3...)
		require.False(t, b.refuses("h2"))
		require.False(t, b.refuses("stranger"))
		require.Equal(t, int64(room), b.loader.room)
	})
}

func TestMoreHoldersThanThereAreAreOfNoUse(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.shelf.pages = [][]coupon.Key{keys("a", 2*slack), keys("b", 2*slack)}
		_, err := b.loader.load(soldOut{})
		require.ErrorIs(t, err, errIncomplete)
		require.Equal(t, int64(room), b.loader.room)
	})
}

func TestHoldersMayComeOften(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.shelf.pages, b.shelf.total = nil, 3*slack
		for range 3 {
			b.shelf.pages = append(b.shelf.pages, keys("h", slack), keys("h", 3*slack)[slack:2*slack])
		}
		b.shelf.pages = append(b.shelf.pages, keys("h", 3*slack)[2*slack:])
		found, err := b.loader.load(soldOut{})
		require.NoError(t, err)
		require.Len(t, found.hashes, 3*slack)
		require.LessOrEqual(t, cap(found.hashes), 4*slack, "8 bytes a holder, and a constant")
	})
}

func TestALoadThatFailsIsTriedAgainLater(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.shelf.err = errAway
		for range 100 {
			b.hears(soldOutAt3...)
			pass(5 * time.Millisecond)
		}
		require.Equal(t, 1, b.shelf.stepsMade())
		b.shelf.err = nil
		pass(reloadAfter)
		b.ready(t)
	})
}

func TestTheLoaderRests(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		began := time.Now()
		b.shelf.pages, b.shelf.total = nil, 10
		for i := range 10 {
			b.shelf.pages = append(b.shelf.pages, []coupon.Key{key(fmt.Sprint(i))})
		}
		_, err := b.loader.load(soldOut{})
		require.NoError(t, err)
		require.Equal(t, b.shelf.takes*(10+9*restFactor), time.Since(began))
	})
}

func TestThereIsRoomForSoMany(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.loader.room = 8
		b.ready(t)
		require.Equal(t, int64(2), b.loader.room, "room for each of the 3 to come twice")
		other := &bench{Memory: b.loader.Memory(), shelf: b.shelf, c: b.c}
		other.hears(soldOutAt3...)
		pass(100 * time.Millisecond)
		other.hears(soldOutAt3...)
		require.False(t, other.refuses("stranger"))
		require.Equal(t, int64(2), b.loader.room)

		b.hears(coupon.Decision{Verdict: coupon.Granted})
		pass(reloadAfter)
		other.ready(t)
	})
}

// What is counted is what is taken, of few holders as of many.
func TestTheRoomIsWhatIsTaken(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.ready(t)
		taken := cap(b.holders.hashes)
		require.Equal(t, int64(taken), room-b.loader.room)
		require.LessOrEqual(t, taken, 2*len(b.holders.hashes))
	})
}

func TestHashesAreOfUserAndN(t *testing.T) {
	t.Parallel()
	seed := maphash.MakeSeed()
	seen := map[uint64]coupon.Key{}
	for _, user := range []string{"", "a", "b", "1", "1/a", "2/a"} {
		for n := range 4 {
			k := coupon.Key{User: user, N: n}
			h := hash(seed, k)
			require.NotContains(t, seen, h, "%v", k)
			seen[h] = k
			k.Campaign = "another"
			require.Equal(t, h, hash(seed, k))
		}
	}
}
