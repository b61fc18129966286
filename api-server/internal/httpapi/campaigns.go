package httpapi

import (
	"net/http"
	"sort"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// publicCampaign is a campaign as users see it. Remaining is null when it is hidden or not known.
type publicCampaign struct {
	Object        string              `json:"object"`
	ID            string              `json:"id"`
	Name          string              `json:"name"`
	Availability  coupon.Availability `json:"availability"`
	StartsAt      Time                `json:"starts_at"`
	EndsAt        Time                `json:"ends_at"`
	PerUserLimit  int                 `json:"per_user_limit"`
	StockDisplay  coupon.StockDisplay `json:"stock_display"`
	Limit         *int64              `json:"limit"`
	Remaining     *int64              `json:"remaining"`
	RemainingBand *string             `json:"remaining_band"`
	Discount      *coupon.Discount    `json:"discount"`
	ServerTime    Time                `json:"server_time"`
}

func (a *API) listCampaigns(c *gin.Context) {
	limit, err := PageLimit(c)
	if err != nil {
		Fail(c, err)
		return
	}
	after, err := PageCursor(c)
	if err != nil {
		Fail(c, err)
		return
	}
	all := a.campaigns.Campaigns()
	all = all[sort.Search(len(all), func(i int) bool { return all[i].ID > after }):]
	now := time.Now()
	rows := make([]publicCampaign, 0, limit+1)
	for _, campaign := range all[:min(len(all), limit+1)] {
		rows = append(rows, a.public(campaign, now))
	}
	c.JSON(http.StatusOK, PageOf(rows, limit, func(p publicCampaign) string { return p.ID }))
}

func (a *API) getCampaign(c *gin.Context) {
	campaign, err := a.campaigns.Find(c.Request.Context(), c.Param("id"))
	if err != nil {
		Fail(c, err)
		return
	}
	c.JSON(http.StatusOK, a.public(campaign, time.Now()))
}

func (a *API) public(c *coupon.Campaign, now time.Time) publicCampaign {
	level := a.level(c)
	p := publicCampaign{
		Object: "campaign", ID: c.ID, Name: c.Name, Availability: c.Availability(now, given(c, level)),
		StartsAt: Time(c.StartsAt), EndsAt: Time(c.EndsAt), PerUserLimit: c.PerUserLimit,
		StockDisplay: c.StockDisplay, Discount: c.Discount, ServerTime: Time(now),
	}
	if c.StockDisplay == coupon.StockExact {
		p.Limit = &c.Limit
	}
	if !level.Known {
		return p
	}
	remaining := max(0, c.HiWanted-level.Last)
	switch c.StockDisplay {
	case coupon.StockExact:
		p.Remaining = &remaining
	case coupon.StockBand:
		band := bandOf(remaining, c.Limit)
		p.RemainingBand = &band
	}
	return p
}

// level tells how far a campaign's stock is used; in mode sql its record does.
func (a *API) level(c *coupon.Campaign) coupon.Level {
	if c.Mode == coupon.ModeSQL && c.EpochState == coupon.EpochActive {
		return coupon.Level{Known: true, Last: c.NextSerial - 1}
	}
	return a.levels.Level(c.Ref())
}

// given returns the last serial that is known to be given out. While the level is not, the record still knows where the
// epoch begins, and when each place has its row.
func given(c *coupon.Campaign, level coupon.Level) int64 {
	if !level.Known && c.Issued >= c.Limit {
		return c.HiWanted
	}
	return max(level.Last, c.Lo-1)
}

// bandOf tells roughly how much is left: none, few (a tenth of the limit or less), or many.
func bandOf(remaining, limit int64) string {
	switch {
	case remaining == 0:
		return "none"
	case remaining*10 <= limit:
		return "few"
	default:
		return "many"
	}
}
