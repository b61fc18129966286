package campaigns

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// shelf is a source of so many campaigns, whose last pages may not answer.
type shelf struct {
	size, failFrom int
}

func (s shelf) Campaigns(_ context.Context, after string, limit int) ([]coupon.Campaign, error) {
	var found []coupon.Campaign
	for i := range s.size {
		id := fmt.Sprintf("c-%04d", i)
		if id <= after || len(found) == limit {
			continue
		}
		if i >= s.failFrom {
			return nil, errors.New("away")
		}
		found = append(found, coupon.Campaign{ID: id, Epoch: int64(i % 2)})
	}
	return found, nil
}

func TestWhereReadsEveryPage(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, page - 1, page, page + 1, 3 * page} {
		kept, err := Where(t.Context(), shelf{size, size}, func(c coupon.Campaign) bool { return c.Epoch == 1 })
		require.NoError(t, err)
		require.Len(t, kept, size/2)
		for i, c := range kept {
			require.Equal(t, fmt.Sprintf("c-%04d", 2*i+1), c.ID)
		}
	}
	_, err := Where(t.Context(), shelf{3 * page, page + 1}, func(coupon.Campaign) bool { return true })
	require.Error(t, err, "half a list is no list")
}
