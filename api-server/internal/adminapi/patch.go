package adminapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/seonchak/seonchak/api-server/internal/httpapi"
	"github.com/seonchak/seonchak/pkg/coupon"
)

// unchangeable are the fields of a campaign that a patch cannot touch, with what to do instead.
var unchangeable = map[string]string{
	"id":             "is fixed when the campaign is created",
	"limit":          "use POST /admin/v1/campaigns/:id/limit-adjustments",
	"per_user_limit": "is fixed when the campaign is created",
	"eligibility":    "is fixed when the campaign is created",
	"status":         "use POST /admin/v1/campaigns/:id/activate, pause, resume or close",
}

// patch is a merge patch (RFC 7396) of the campaign's offer, meant for the version that If-Match names.
func (a *API) patch(c *gin.Context) {
	match := c.GetHeader("If-Match")
	if match == "" {
		httpapi.Fail(c, coupon.NewError(httpapi.CodePreconditionRequired, "send the ETag of the campaign as If-Match"))
		return
	}
	members, err := httpapi.ReadMembers(c, maxBody)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	if err := checkChangeable(members); err != nil {
		httpapi.Fail(c, err)
		return
	}
	current, err := a.records.Campaign(c.Request.Context(), c.Param("id"))
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	if !matches(match, current) {
		httpapi.Fail(c, coupon.NewError(coupon.CodeVersionMismatch, "the campaign's ETag is "+etagOf(current)))
		return
	}
	change, err := changeOf(current, members)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	changed, err := a.operator.Update(c.Request.Context(), current.ID, current.Version, change)
	if err != nil {
		httpapi.Fail(c, err)
		return
	}
	answer(c, http.StatusOK, changed)
}

func etagOf(c coupon.Campaign) string { return strconv.Quote(strconv.FormatInt(c.Version, 10)) }

// matches reports whether an If-Match header names the campaign's present version, or any.
func matches(header string, c coupon.Campaign) bool {
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == etagOf(c) {
			return true
		}
	}
	return false
}

// checkChangeable returns an error that names every field a patch cannot touch.
func checkChangeable(members []httpapi.Member) error {
	var m mistakes
	known := httpapi.FieldsOf(&offer{})
	for _, member := range members {
		if hint, fixed := unchangeable[member.Name]; fixed {
			m.check(false, member.Pointer(), "unchangeable", hint)
			continue
		}
		m.check(known[member.Name], member.Pointer(), "unknown_field", "is not a field that can be changed")
	}
	if len(m) > 0 {
		return httpapi.Invalid(m...)
	}
	return nil
}

// changeOf merges a patch into the campaign's offer and returns what it changes, or an error that names every mistake.
func changeOf(current coupon.Campaign, members []httpapi.Member) (coupon.CampaignChange, error) {
	before, err := json.Marshal(offerOf(&current))
	if err != nil {
		return coupon.CampaignChange{}, err
	}
	patch := make(map[string]any, len(members))
	for _, member := range members {
		patch[member.Name] = value(member.Value)
	}
	body, err := json.Marshal(merged(value(before), patch))
	if err != nil {
		return coupon.CampaignChange{}, err
	}
	var after offer
	if err := httpapi.DecodeJSON(body, &after); err != nil {
		return coupon.CampaignChange{}, err
	}
	var m mistakes
	after.checkName(&m)
	after.checkWindow(&m)
	after.checkTerms(&m)
	if len(m) > 0 {
		return coupon.CampaignChange{}, httpapi.Invalid(m...)
	}
	after.apply(&current)
	return pick(current, members), nil
}

// pick returns the change that leads to c in the fields that a patch names.
func pick(c coupon.Campaign, members []httpapi.Member) coupon.CampaignChange {
	var change coupon.CampaignChange
	for _, m := range members {
		switch m.Name {
		case "name":
			change.Name = &c.Name
		case "starts_at":
			change.StartsAt = &c.StartsAt
		case "ends_at":
			change.EndsAt = &c.EndsAt
		case "discount":
			change.Discount = cmp.Or(c.Discount, &coupon.Discount{})
		case "validity":
			change.Validity = &c.Validity
		case "restock_on_cancel":
			change.RestockOnCancel = &c.RestockOnCancel
		case "stock_display":
			change.StockDisplay = &c.StockDisplay
		case "metadata":
			change.Metadata = &c.Metadata
		}
	}
	return change
}

// value reads valid JSON; its numbers stay as they are written.
func value(raw json.RawMessage) any {
	var v any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	_ = decoder.Decode(&v)
	return v
}

// merged is MergePatch of RFC 7396.
func merged(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, change := range changes {
		if change == nil {
			delete(object, name)
			continue
		}
		object[name] = merged(object[name], change)
	}
	return object
}
