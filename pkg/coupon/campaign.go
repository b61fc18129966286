package coupon

import (
	"encoding/json"
	"time"
)

// CampaignStatus is what the operator wants of a campaign.
type CampaignStatus string

// The operator's statuses. A draft is invisible to users; closed is final.
const (
	CampaignDraft  CampaignStatus = "draft"
	CampaignActive CampaignStatus = "active"
	CampaignPaused CampaignStatus = "paused"
	CampaignClosed CampaignStatus = "closed"
)

// CanBecome reports whether an operator may move a campaign from s to next. Staying where one is is always allowed: a
// repeated request is a no-op.
func (s CampaignStatus) CanBecome(next CampaignStatus) bool {
	switch next {
	case s:
		return true
	case CampaignActive:
		return s == CampaignDraft || s == CampaignPaused
	case CampaignPaused:
		return s == CampaignActive
	case CampaignClosed:
		return s == CampaignActive || s == CampaignPaused || s == CampaignDraft
	default:
		return false
	}
}

// EpochState is where the protocol stands with one epoch of a campaign.
type EpochState string

// The states of an epoch. A campaign that was never opened has none.
const (
	EpochNone    EpochState = "none"
	EpochLoading EpochState = "loading"
	EpochActive  EpochState = "active"
	EpochFencing EpochState = "fencing"
	EpochClosed  EpochState = "closed"
)

// Mode says who hands out serials in an epoch.
type Mode string

// The modes of an epoch.
const (
	ModeRedis Mode = "redis"
	ModeSQL   Mode = "sql"
)

// StockDisplay says how much of the stock users may see.
type StockDisplay string

// The ways to show stock: the exact number, a rough band, or nothing.
const (
	StockExact  StockDisplay = "exact"
	StockBand   StockDisplay = "band"
	StockHidden StockDisplay = "hidden"
)

// Discount is what a coupon is worth. Money is in minor units of Currency; a percentage is 1 to 100.
type Discount struct {
	Type     string `json:"type"`
	Value    int64  `json:"value"`
	Max      *int64 `json:"max,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// Validity says how long an issued coupon can be used: for Days after it was issued, or Until an instant. The zero value
// means for ever.
type Validity struct {
	Days  int        `json:"days,omitempty"`
	Until *time.Time `json:"until,omitempty"`
}

// ExpiresAt returns when a coupon issued at issuedAt expires, or nil for never.
func (v Validity) ExpiresAt(issuedAt time.Time) *time.Time {
	if v.Until != nil {
		return v.Until
	}
	if v.Days == 0 {
		return nil
	}
	t := issuedAt.AddDate(0, 0, v.Days)
	return &t
}

// Campaign is one limited offer as MySQL records it.
type Campaign struct {
	ID           string
	Name         string
	Limit        int64
	Issued       int64 // places taken: only a return to stock lowers it
	PerUserLimit int
	Status       CampaignStatus
	StartsAt     time.Time
	EndsAt       time.Time // exclusive

	Discount        *Discount
	Validity        Validity
	RestockOnCancel bool
	StockDisplay    StockDisplay
	Metadata        json.RawMessage

	Epoch      int64 // 0 before the first opening
	EpochState EpochState
	Mode       Mode
	Lo         int64 // first serial of the epoch
	Base       int64 // members loaded into Redis when the epoch opened
	Hi         int64 // highest serial the servers may expect
	HiWanted   int64 // highest serial Redis may give out; never above Hi
	Seal       string
	NextSerial int64 // in mode sql, the next serial to give out
	Lowering   int64 // places an open wish to lower the limit takes; 0 without one

	FenceWanted int64     // the epoch somebody asked to end; 0 when nobody did
	EpochSince  time.Time // the last step of Epoch or EpochState, by the database's clock; zero before the first opening

	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// EpochRef names one epoch of one campaign.
type EpochRef struct {
	Campaign string
	Epoch    int64
}

// Ref names the campaign's current epoch.
func (c *Campaign) Ref() EpochRef { return EpochRef{Campaign: c.ID, Epoch: c.Epoch} }

// Availability is what a user sees of a campaign.
type Availability string

// What a user can be told about a campaign.
const (
	NotStarted Availability = "not_started"
	Open       Availability = "open"
	SoldOut    Availability = "sold_out"
	Paused     Availability = "paused"
	Ended      Availability = "ended"
)

// Availability returns what a user sees of the campaign at now; lastSerial is the last serial given out.
func (c *Campaign) Availability(now time.Time, lastSerial int64) Availability {
	switch {
	case c.Status == CampaignClosed || !now.Before(c.EndsAt):
		return Ended
	case c.Status == CampaignPaused:
		return Paused
	case c.Status == CampaignDraft || now.Before(c.StartsAt):
		return NotStarted
	case lastSerial >= c.HiWanted:
		return SoldOut
	default:
		return Open
	}
}

// Document is all that Redis must know of a campaign to judge a claim: the hash coupon:{id}:meta. It is replaced as a
// whole and only by one of a higher Version, so a late or repeated push can never undo a newer one.
type Document struct {
	Campaign     string
	Version      int64
	State        DocumentState
	Epoch        int64
	Hi           int64 // highest serial Redis may give out
	Lo           int64 // first serial of the epoch
	Base         int64 // members loaded before the epoch opened
	Seal         string
	OpensAt      time.Time
	ClosesAt     time.Time
	PerUserLimit int
}

// DocumentState is the state of a campaign as Redis sees it.
type DocumentState string

// What Redis may be told. Fenced is written by the fence only.
const (
	DocumentOpen   DocumentState = "open"
	DocumentPaused DocumentState = "paused"
	DocumentClosed DocumentState = "closed"
	DocumentFenced DocumentState = "fenced"
)

// Document returns what Redis must know of the campaign now.
func (c *Campaign) Document() Document {
	state := DocumentClosed
	switch c.Status {
	case CampaignActive:
		state = DocumentOpen
	case CampaignPaused:
		state = DocumentPaused
	}
	return Document{
		Campaign: c.ID, Version: c.Version, State: state, Epoch: c.Epoch,
		Hi: c.HiWanted, Lo: c.Lo, Base: c.Base, Seal: c.Seal,
		OpensAt: c.StartsAt, ClosesAt: c.EndsAt, PerUserLimit: c.PerUserLimit,
	}
}

// Standing is the part of a campaign that says whether a grant of an epoch is binding: the confirm read.
type Standing struct {
	Epoch int64
	State EpochState
}

// Confirms reports whether a grant of epoch, already durable in the log when s was read, is binding. The fence commits
// "fencing" before it learns where the log ends, so "still active" proves the grant will be drained.
func (s Standing) Confirms(epoch int64) bool {
	return s.State == EpochActive && s.Epoch == epoch
}
