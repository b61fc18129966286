package drop

import (
	"math/rand/v2"
	"strconv"
)

// Apply is one planned request: a user wants its n-th coupon of the campaign.
type Apply struct {
	User string
	N    int
}

// Users returns count user ids, "u-1" and on.
func Users(count int) []string {
	users := make([]string, count)
	for i := range users {
		users[i] = "u-" + strconv.Itoa(i+1)
	}
	return users
}

// Plan returns applies for n = 1 in the order in which a crowd sends them. Every user comes once, if there are that many
// applies; of the rest half are double clicks, on the heels of another apply of the same user, and half come back at any
// other time. The same seed gives the same plan.
func Plan(users []string, applies int, seed uint64) []Apply {
	random := rand.New(rand.NewPCG(seed, 0))
	visits := make([]string, 0, applies)
	visits = append(visits, users[:min(len(users), applies)]...)
	doubles := (applies - len(visits)) / 2
	for len(visits) < applies-doubles {
		visits = append(visits, users[random.IntN(len(users))])
	}
	random.Shuffle(len(visits), func(i, j int) { visits[i], visits[j] = visits[j], visits[i] })

	clicks := make([]int, len(visits))
	for range doubles {
		clicks[random.IntN(len(clicks))]++
	}
	plan := make([]Apply, 0, applies)
	for i, user := range visits {
		for range 1 + clicks[i] {
			plan = append(plan, Apply{User: user, N: 1})
		}
	}
	return plan
}
