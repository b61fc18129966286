package mysqlstore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// answer is a reply with what callers may know of its error.
type answer struct {
	Value   any
	Refusal string
}

func answerOf(value any, err error) answer {
	switch code := coupon.CodeOf(err); {
	case err == nil:
		return answer{Value: plain(value)}
	case code == coupon.CodeUnavailable && serverError(err) != 0, code == "":
		return answer{Refusal: "unexpected: " + err.Error()}
	default:
		return answer{plain(value), string(code)}
	}
}

// plain returns a reply without what the two need not have in common.
func plain(value any) any {
	switch v := value.(type) {
	case coupon.Campaign:
		return plainCampaign(v)
	case []coupon.Campaign:
		return mapped(v, plainCampaign)
	case []coupon.Coupon:
		return mapped(v, plainCoupon)
	case []coupon.Settled:
		return mapped(v, plainSettled)
	case []coupon.Claim:
		return mapped(v, func(c coupon.Claim) coupon.Claim { return c }) // none is none
	default:
		return value
	}
}

func mapped[T, U any](values []T, f func(T) U) []U {
	all := make([]U, 0, len(values))
	for _, v := range values {
		all = append(all, f(v))
	}
	return all
}

func plainCampaign(c coupon.Campaign) coupon.Campaign {
	c.CreatedAt, c.UpdatedAt = time.Time{}, time.Time{}
	return c
}

func plainCoupon(c coupon.Coupon) coupon.Coupon {
	c.Code = ""
	return c
}

type settled struct {
	Verdict coupon.Verdict
	Status  coupon.ClaimStatus
	Coupon  coupon.Coupon
}

func plainSettled(s coupon.Settled) settled {
	return settled{s.Verdict, s.Status, plainCoupon(value(s.Coupon))}
}

// sameState compares all that is recorded of the campaign, and learns the ids of its failed events.
func (h *harness) sameState() error {
	real, err := h.recorded()
	if err != nil {
		return err
	}
	model := h.modelled()
	h.compared++
	if slices.Equal(real, model) {
		return nil
	}
	isIn := func(lines []string) func(string) bool {
		return func(s string) bool { return slices.Contains(lines, s) }
	}
	return fmt.Errorf("the database alone holds %q\nthe model alone          %q",
		slices.DeleteFunc(slices.Clone(real), isIn(model)), slices.DeleteFunc(slices.Clone(model), isIn(real)))
}

// readAll reads all that is recorded of a campaign in one query, for it is read after every step: a line for each row of
// each table, in the words of modelled.
const readAll = `SELECT 1 AS part, 0 AS id, CONVERT(CONCAT_WS(' ', 'campaign', c.status, c.epoch, c.epoch_state, c.mode,
		'seal', c.seal, 'places', c.issued, c.limit_count, c.lowering, 'serials', c.hi, c.hi_wanted, c.next_serial,
		'fence', c.fence_wanted, 'version', c.version, 'times', c.starts_at, c.ends_at, COALESCE(c.epoch_since, 'never'),
		'kept', (` + countKept + keeping + ` AND f.campaign_id = c.id)) USING utf8mb4) AS line
		FROM campaigns c WHERE c.slug = @slug
	UNION ALL SELECT 2, e.epoch, CONVERT(CONCAT_WS(' ', 'epoch', e.epoch, e.mode, e.state, e.opened_at IS NOT NULL,
		'serials', e.lo, e.hi, e.hi_max) USING utf8mb4)
		FROM campaigns c JOIN campaign_epochs e ON e.campaign_id = c.id WHERE c.slug = @slug
	UNION ALL SELECT 3, p.serial, CONVERT(CONCAT_WS(' ', 'coupon', p.serial, p.user_id, p.n, p.epoch, p.status,
		p.claimed_at, p.issued_at) USING utf8mb4)
		FROM campaigns c JOIN coupons p ON p.campaign_id = c.id WHERE c.slug = @slug
	UNION ALL SELECT 4, f.id, CONVERT(CONCAT_WS(' ', 'failed', IF(f.event_key = CONCAT('dead:', f.id), 'dead', f.event_key),
		f.user_id, f.n, f.epoch, COALESCE(f.serial, 0), f.claimed_at, f.carried, f.status, f.reason, f.attempts) USING utf8mb4)
		FROM campaigns c JOIN failed_events f ON f.campaign_id = c.id WHERE c.slug = @slug
	UNION ALL SELECT 5, l.id, CONVERT(CONCAT_WS(' ', 'move', l.kind, l.delta, COALESCE(l.ref, '')) USING utf8mb4)
		FROM campaigns c JOIN stock_ledger l ON l.campaign_id = c.id WHERE c.slug = @slug
	ORDER BY part, id`

const failedPart = 4

func (h *harness) recorded() (lines []string, err error) {
	rows, err := h.store.DB().QueryContext(h.ctx, strings.ReplaceAll(readAll, "@slug", "'"+h.id+"'"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	h.real.failures = nil
	for rows.Next() {
		var part, id int64
		var line string
		if err := rows.Scan(&part, &id, &line); err != nil {
			return nil, err
		}
		if part == failedPart {
			h.real.failures = append(h.real.failures, id)
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}

func (h *harness) modelled() (lines []string) {
	write := func(words ...any) { lines = append(lines, strings.TrimSuffix(fmt.Sprintln(words...), "\n")) }
	c, rows, failures, kept := h.book.Look(h.id)
	write("campaign", c.Status, c.Epoch, c.EpochState, c.Mode, "seal", c.Seal, "places", c.Issued, c.Limit, c.Lowering,
		"serials", c.Hi, c.HiWanted, c.NextSerial, "fence", c.FenceWanted, "version", c.Version,
		"times", inSQL(c.StartsAt), inSQL(c.EndsAt), inSQL(c.EpochSince), "kept", kept)
	for _, e := range h.book.Epochs(h.id) {
		write("epoch", e.Number, e.Mode, e.State, bit(e.Opened), "serials", e.Lo, e.Hi, e.HiMax)
	}
	slices.SortFunc(rows, func(x, y coupon.Coupon) int { return cmp.Compare(x.Serial, y.Serial) })
	for _, r := range rows {
		write("coupon", r.Serial, r.User, r.N, r.Epoch, r.Status, inSQL(r.ClaimedAt), inSQL(r.IssuedAt))
	}
	h.model.failures = nil
	for _, f := range failures {
		h.model.failures = append(h.model.failures, f.ID)
		if f.EventKey == fmt.Sprint("dead:", f.ID) {
			f.EventKey = "dead"
		}
		write("failed", f.EventKey, f.Claim.User, f.Claim.N, f.Epoch, f.Claim.Serial, inSQL(f.Claim.ClaimedAt), bit(f.Carried),
			f.Status, f.Reason, f.Attempts)
	}
	for _, a := range h.book.Ledger(h.id) {
		write("move", a.Kind, a.Delta, a.Ref)
	}
	return lines
}

func inSQL(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format("2006-01-02 15:04:05.000000")
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// balanced requires of the database's own account that nothing is where it cannot be.
func (h *harness) balanced() error {
	a, err := h.store.Account(h.ctx, h.id)
	if err != nil {
		return err
	}
	if a.Misplaced != 0 || a.BadReturns != 0 || a.Rows-a.Returned != a.Campaign.Issued {
		return fmt.Errorf("the account does not balance: %+v", a)
	}
	return nil
}
