package httpapi

import (
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/pkg/coupon"
)

const (
	defaultPage = 50
	maxPage     = 200
)

// Page is the envelope of every list.
type Page[T any] struct {
	Data       []T     `json:"data"`
	HasMore    bool    `json:"has_more"`
	NextCursor *string `json:"next_cursor"`
}

// PageOf cuts rows, of which one more than limit was asked for, into a page; cursor names the last row shown.
func PageOf[T any](rows []T, limit int, cursor func(T) string) Page[T] {
	if len(rows) <= limit {
		return Page[T]{Data: append([]T{}, rows...)}
	}
	next := cursor(rows[limit-1])
	return Page[T]{Data: rows[:limit], HasMore: true, NextCursor: &next}
}

// PageLimit reads ?limit=, 1 to 200.
func PageLimit(c *gin.Context) (int, error) {
	raw := c.Query("limit")
	if raw == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > maxPage {
		return 0, malformed("/limit", "out_of_range", "limit is 1 to 200")
	}
	return n, nil
}

// PageCursor reads ?cursor=, the id of the last campaign of the page before; "" for the first page.
func PageCursor(c *gin.Context) (string, error) {
	after := c.Query("cursor")
	if after != "" && !coupon.ValidCampaignID(after) {
		return "", errCursor
	}
	return after, nil
}

// PageNumber reads ?cursor= where it is the number of the last row of the page before; 0 for the first page.
func PageNumber(c *gin.Context) (int64, error) {
	raw := c.Query("cursor")
	if raw == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || after < 1 {
		return 0, errCursor
	}
	return after, nil
}

var errCursor = malformed("/cursor", "invalid_cursor", "is the next_cursor of a page before")
