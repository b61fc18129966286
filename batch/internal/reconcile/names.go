package reconcile

import (
	"context"
	"fmt"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/redisstock"
)

const (
	namesPage = 500 // claims compared at a time
	namesKept = 200 // claims of a campaign that are listed; the others are counted
)

// rows is what MySQL knows of single claims. IssuedClaims and MisplacedClaims go by serial, KeptClaims by an id that it
// returns; CouponsOf leaves out the keys that have no row, Fates those without a failed event.
type rows interface {
	IssuedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error)
	MisplacedClaims(ctx context.Context, campaign string, after int64, limit int) ([]coupon.Claim, error)
	KeptClaims(ctx context.Context, campaign string, after int64, limit int) (claims []coupon.Claim, last int64, err error)
	CouponsOf(ctx context.Context, campaign string, keys []coupon.Key) ([]coupon.Coupon, error)
	Fates(ctx context.Context, campaign string, keys []coupon.Key) (map[coupon.Key]coupon.FailureStatus, error)
}

// entries is what Redis knows of single claims. ScanSerials must return every claim that has a serial at least once, and
// read whether it is pending after its serial.
type entries interface {
	ScanSerials(ctx context.Context, ref coupon.EpochRef, cursor uint64) ([]redisstock.Entry, uint64, error)
	ScanTorn(ctx context.Context, ref coupon.EpochRef) ([]redisstock.Entry, error)
	Entries(ctx context.Context, ref coupon.EpochRef, keys []coupon.Key) ([]redisstock.Entry, error)
}

// aboutClaims are the differences whose claims are worth naming. Where all of Redis is lost, none is.
var aboutClaims = []string{"members_count", "members_serials", "claims_missing", "claims_unknown", "rows_serial"}

// What can be wrong with a claim: stable.
const (
	noRow         = "no_row"
	rowGone       = "row_gone"
	eventGone     = "event_gone"
	eventDead     = "event_dead"
	eventDiscards = "event_discarded"
	otherSerial   = "other_serial"
	noMember      = "no_member"
	noSerial      = "no_serial"
	rowUnknown    = "row_unknown"
	eventUnknown  = "event_unknown"
	rowSerial     = "row_serial"
)

var wrongs = map[string]string{
	noRow:         "granted in Redis, and neither a row, a failed event, pending nor in the log",
	rowGone:       "was a row when the epoch was loaded, and is none now",
	eventGone:     "was carried over as a failed event, and is neither that nor a row now",
	eventDead:     "its failed event is dead: it can never be a row",
	eventDiscards: "its failed event was discarded",
	otherSerial:   "Redis and the row have different serials",
	noMember:      "has a serial in Redis, and is not among the users",
	noSerial:      "known to Redis, without a serial that can be read",
	rowUnknown:    "a row that Redis does not know",
	eventUnknown:  "a live failed event that Redis does not know",
	rowSerial:     "the row has a serial that its epoch could not give",
}

// names gathers the claims of one campaign that are wrong.
type names struct {
	job  *Job
	ref  coupon.EpochRef
	list Claims
	seen map[coupon.Key]bool
	lost []coupon.Claim // of noRow: granted, and nowhere else
	late int            // claims that are nowhere else either, but may be in the log, which is not read to the end
}

func (n *names) add(key coupon.Key, inRedis, inRow int64, wrong string) {
	if n.seen[key] {
		return // a scan may return a claim twice
	}
	n.seen[key] = true
	n.list.Total++
	n.list.count(wrong)
	if len(n.list.List) < namesKept {
		n.list.List = append(n.list.List, Claim{User: key.User, N: key.N, Serial: inRedis, RowSerial: inRow, Wrong: wrong})
	}
}

// name lists the claims of a campaign that are wrong. They are a difference even where all counts agree.
func (j *Job) name(ctx context.Context, c *Campaign) error {
	if c.Verdict == Unknown || c.Epoch == 0 {
		return nil
	}
	n, err := j.names(ctx, c.record)
	if err != nil || n.list.Total == 0 {
		return err
	}
	c.Claims = &n.list
	if !c.hasAny(aboutClaims) {
		c.Differences = append(c.Differences, Difference{"claims_differ", counted(n.list.Total, "claim") + " differ though the counts agree"})
		c.judge()
	}
	return nil
}

// names compares every claim of a campaign's epoch, from both sides. It names none when the epoch ended meanwhile.
func (j *Job) names(ctx context.Context, c coupon.Campaign) (*names, error) {
	n := &names{job: j, ref: c.Ref(), seen: map[coupon.Key]bool{}, list: Claims{List: []Claim{}, Wrong: map[string]int64{}}}
	steps := []func(context.Context) error{n.misplacedRows}
	if inRedis(c) {
		steps = append(steps, n.granted, n.torn, n.issued, n.kept)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	now, err := j.record.Account(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	if r := now.Campaign; r.Ref() != n.ref || r.EpochState != c.EpochState {
		return &names{}, nil
	}
	return n, nil
}

// torn names what Redis knows without a serial.
func (n *names) torn(ctx context.Context) error {
	torn, err := n.job.stock.ScanTorn(ctx, n.ref)
	for _, e := range torn {
		n.add(e.Claim.Key, 0, 0, noSerial)
	}
	return err
}

// issued goes from the rows to Redis, where every row of an open epoch must be: loaded, or granted before it was a row.
func (n *names) issued(ctx context.Context) error {
	for after := int64(0); ; {
		claims, err := n.job.record.IssuedClaims(ctx, n.ref.Campaign, after, namesPage)
		if err != nil || len(claims) == 0 {
			return err
		}
		if err := n.unknown(ctx, claims, rowUnknown); err != nil {
			return err
		}
		after = claims[len(claims)-1].Serial
	}
}

// kept goes from the live failed events to Redis likewise.
func (n *names) kept(ctx context.Context) error {
	for after := int64(0); ; {
		claims, last, err := n.job.record.KeptClaims(ctx, n.ref.Campaign, after, namesPage)
		if err != nil || len(claims) == 0 {
			return err
		}
		if err := n.unknown(ctx, claims, eventUnknown); err != nil {
			return err
		}
		after = last
	}
}

func (n *names) unknown(ctx context.Context, claims []coupon.Claim, wrong string) error {
	keys := make([]coupon.Key, len(claims))
	for i, c := range claims {
		keys[i] = c.Key
	}
	entries, err := n.job.stock.Entries(ctx, n.ref, keys)
	if err != nil {
		return err
	}
	if len(entries) != len(claims) {
		return fmt.Errorf("asked Redis about %d claims, heard of %d", len(claims), len(entries))
	}
	for i, e := range entries {
		if !e.Member && !e.Stored { // what is torn was named on the way from Redis
			n.add(claims[i].Key, 0, claims[i].Serial, wrong)
		}
	}
	return nil
}

func (n *names) misplacedRows(ctx context.Context) error {
	for after := int64(0); ; {
		claims, err := n.job.record.MisplacedClaims(ctx, n.ref.Campaign, after, namesPage)
		if err != nil || len(claims) == 0 {
			return err
		}
		for _, c := range claims {
			n.add(c.Key, 0, c.Serial, rowSerial)
		}
		after = claims[len(claims)-1].Serial
	}
}
