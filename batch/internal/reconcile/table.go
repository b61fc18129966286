package reconcile

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/seonchak/seonchak/pkg/coupon"
)

// WriteTable writes the comparison for a person: a line a campaign, then what was repaired, every difference in words, and
// the claims that are wrong.
func (r Result) WriteTable(w io.Writer) error {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{
		"campaign", "status", "epoch", "mode", "limit", "issued", "rows", "live", "dead", "unsold",
		"count", "members", "serials", "pending", "verdict",
	})
	for _, c := range r.Campaigns {
		row := table.Row{
			c.ID, c.Status, c.Epoch, c.Mode, c.Limit, c.Issued, c.Rows, c.Live, c.Failed[coupon.FailureDead], "-",
		}
		if c.Unsold != nil {
			row[len(row)-1] = *c.Unsold
		}
		if c.Redis == nil {
			row = append(row, "-", "-", "-", "-")
		} else {
			row = append(row, c.Redis.Count, c.Redis.Members, c.Redis.Serials, c.Redis.Pending)
		}
		t.AppendRow(append(row, c.Verdict))
	}
	_, err := fmt.Fprintf(w, "%s\n%s", t.Render(), r.words())
	return err
}

func (r Result) words() string {
	var lines strings.Builder
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(&lines, format+"\n", args...) } // a Builder takes everything
	for _, done := range r.Repairs {
		say("%s: repair: %s: %s", done.Campaign, done.Action, done.words())
	}
	for _, d := range r.Differences {
		say("different: %s: %s", d.Code, d.Detail)
	}
	for _, c := range r.Campaigns {
		for _, d := range c.InFlight {
			say("%s: in flight: %s: %s", c.ID, d.Code, d.Detail)
		}
		for _, d := range c.Differences {
			say("%s: different: %s: %s", c.ID, d.Code, d.Detail)
		}
		if c.Error != "" {
			say("%s: unknown: %s", c.ID, c.Error)
		}
		if c.Claims == nil {
			continue
		}
		for _, claim := range c.Claims.List {
			say("%s: claim: %s", c.ID, claim.words())
		}
		if rest := c.Claims.Total - int64(len(c.Claims.List)); rest > 0 {
			say("%s: claim: and %d more", c.ID, rest)
		}
	}
	return lines.String()
}

func (done Repair) words() string {
	if done.Error != "" {
		return done.Detail + ": not done: " + done.Error
	}
	return done.Detail
}

func (c Claim) words() string {
	who := fmt.Sprintf("user %s, n %d", c.User, c.N)
	if c.Serial > 0 {
		who += fmt.Sprintf(", serial %d in Redis", c.Serial)
	}
	if c.RowSerial > 0 {
		who += fmt.Sprintf(", serial %d in MySQL", c.RowSerial)
	}
	return fmt.Sprintf("%s: %s: %s", who, c.Wrong, wrongs[c.Wrong])
}
