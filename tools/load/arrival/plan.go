package arrival

import (
	"math"
	"time"
)

// The profiles.
const (
	Drop         = "drop"          // half of all come in the first twentieth of the time, then fewer and fewer
	Flat         = "flat"          // everybody comes once, as likely now as then
	DoubleClick  = "double-click"  // a drop where everybody clicks again 50 to 300 ms later
	MembersRetry = "members-retry" // a drop whose first users come back ten times
	Mixed        = "mixed"         // a drop for several campaigns, with some double clicks and some who come back
)

// Profiles are all of them.
var Profiles = []string{Drop, Flat, DoubleClick, MembersRetry, Mixed}

// Plan says who applies when. The same plan is the same applies.
type Plan struct {
	Profile   string
	Users     uint64        // how many there are: numbers 0 and on, in the order in which they first come
	Over      time.Duration // in which they come for the first time
	Campaigns int           // each user wants one of them; the first is wanted most
	Even      bool          // all campaigns are wanted alike
	Members   uint64        // of MembersRetry: how many of the first users come back
	Seed      uint64
}

// Apply is one planned apply, for n = 1.
type Apply struct {
	At       time.Duration // after the beginning
	User     uint64
	Campaign int // from 0
}

// CampaignOf returns which campaign a user wants: unless all are wanted alike, of two neighbours the first twice as much.
func (p Plan) CampaignOf(user uint64) int {
	if p.Even {
		return int(p.draw(user, 0) * float64(p.Campaigns))
	}
	x := p.draw(user, 0) * (2 - math.Pow(0.5, float64(p.Campaigns-1)))
	for campaign, weight := 0, 1.0; campaign < p.Campaigns-1; campaign, weight = campaign+1, weight/2 {
		if x < weight {
			return campaign
		}
		x -= weight
	}
	return p.Campaigns - 1
}

// Has reports whether the user applies for the campaign.
func (p Plan) Has(user uint64, campaign int) bool {
	return user < p.Users && p.CampaignOf(user) == campaign
}

// again returns after how long a user comes back who has come so many times; false when never.
func (p Plan) again(user uint64, times int) (after time.Duration, comes bool) {
	switch p.Profile {
	case DoubleClick:
		return p.doubleClick(user), times == 1
	case MembersRetry:
		return p.comeback(user, times), user < p.Members && times <= 10
	case Mixed:
		switch user % 5 {
		case 0:
			return p.doubleClick(user), times == 1
		case 1:
			return p.comeback(user, times), times <= 3
		}
	}
	return 0, false
}

func (p Plan) doubleClick(user uint64) time.Duration {
	return 50*time.Millisecond + time.Duration(p.draw(user, 1)*float64(250*time.Millisecond))
}

// comeback is a pause of a twentieth of the time, on average.
func (p Plan) comeback(user uint64, times int) time.Duration {
	return time.Duration(-math.Log(1-p.draw(user, uint64(times))) * float64(p.Over) / 20)
}

// draw returns a number in [0, 1) that belongs to the user and the purpose, whoever asks and when.
func (p Plan) draw(user, purpose uint64) float64 {
	return float64(mix(user+mix(purpose+mix(p.Seed^0x9e3779b97f4a7c15)))>>11) / (1 << 53)
}

// shape is by which part of the time which share of the users has come: straight between its points.
type shape []struct{ share, time float64 }

var (
	crowd = shape{{0, 0}, {0.5, 0.05}, {0.8, 0.2}, {1, 1}}
	level = shape{{0, 0}, {1, 1}}
)

func (p Plan) shape() shape {
	if p.Profile == Flat {
		return level
	}
	return crowd
}

// at returns the part of the time by which a share of the users has come.
func (s shape) at(share float64) float64 {
	for i := 1; i < len(s); i++ {
		if share <= s[i].share {
			from, to := s[i-1], s[i]
			return from.time + (share-from.share)/(to.share-from.share)*(to.time-from.time)
		}
	}
	return 1
}
