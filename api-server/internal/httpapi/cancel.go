package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/apply"
	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/failpoint"
)

const (
	// MaxReason is the length of a reason that the stock ledger keeps, in characters.
	MaxReason = 500

	// cancelDeadline bounds a cancel, which waits for the campaign's row lock that issue() holds in turns: like every answer
	// it comes within 2 s.
	cancelDeadline = 1800 * time.Millisecond
)

var errNotFinal = coupon.NewError(coupon.CodeClaimNotFinal,
	"only an issued coupon can be cancelled; try again when the claim is issued")

// cancel answers with the claim, issued and its coupon cancelled; a repeat answers the same.
func (a *API) cancel(c *gin.Context, user string) {
	key, err := claimKey(c, user)
	if err != nil {
		Fail(c, err)
		return
	}
	reason, err := readReason(c)
	if err != nil {
		Fail(c, err)
		return
	}
	ctx, done := context.WithTimeout(c.Request.Context(), cancelDeadline)
	defer done()
	cancelled, err := a.cancelIssued(ctx, key, reason)
	if err != nil {
		Fail(c, err)
		return
	}
	answer := apply.Answer{Claim: cancelled.Claim, Status: coupon.StatusIssued, Coupon: &cancelled}
	writeJSON(c, http.StatusOK, appendClaim(make([]byte, 0, 256), answer))
}

// cancelIssued cancels the coupon of key. A place that goes back to stock is in the record then; Redis hears of it from
// the keepers, when every server has seen it.
func (a *API) cancelIssued(ctx context.Context, key coupon.Key, reason string) (coupon.Coupon, error) {
	cancelled, _, err := a.canceller.Cancel(ctx, key, reason)
	if coupon.CodeOf(err) == coupon.CodeClaimNotFound {
		return coupon.Coupon{}, a.notIssued(ctx, key)
	}
	if err != nil {
		return coupon.Coupon{}, err
	}
	failpoint.Hit(failpoint.CancelUnpushed)
	return cancelled, nil
}

// notIssued says why a claim without a row cannot be cancelled: claim_not_found only when no store knows of it.
func (a *API) notIssued(ctx context.Context, key coupon.Key) error {
	if _, err := a.applier.Claim(ctx, key); err != nil {
		return err
	}
	return errNotFinal
}

// readReason reads the optional body {"reason": "…"}.
func readReason(c *gin.Context) (string, error) {
	body := struct {
		Reason string `json:"reason"`
	}{}
	if c.Request.ContentLength == 0 {
		return "", nil
	}
	if err := ReadJSON(c, maxBody, &body); err != nil && !errors.Is(err, errEmptyBody) {
		return "", err
	}
	if utf8.RuneCountInString(body.Reason) > MaxReason {
		return "", Invalid(coupon.FieldError{
			Pointer: "/reason", Code: "too_long", Detail: fmt.Sprintf("is at most %d characters", MaxReason),
		})
	}
	return body.Reason, nil
}
