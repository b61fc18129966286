// Package faults is the table of everything that may go wrong in the middle of a drop.
package faults

import (
	"context"
	"slices"
	"time"

	"github.com/seonchak/seonchak/pkg/failpoint"
	"github.com/seonchak/seonchak/tools/chaos/world"
)

// Class is one kind of fault.
type Class struct {
	Name    string
	Lasts   time.Duration     // how long the fault takes from its beginning to its end, roughly
	Points  []failpoint.Point // the crash points at which it kills
	Short   bool              // part of the short form
	Restock bool              // cancelled coupons go back to stock in this drop
	Needs   string            // a folder of programs other than the usual one; "" = the usual ones
	Kills   bool              // nothing but kills of programs
	Planted bool              // run only to catch a planted bug

	// Prepare makes the world ready before the campaigns are opened; may be nil.
	Prepare func(ctx context.Context, w *world.World) error
	// Fault breaks something in the middle of the drop, and has put it back when it returns.
	Fault func(ctx context.Context, s *Scene) error
	// Restore puts the world back after the verdict, beyond what World.Heal does; may be nil.
	Restore func(ctx context.Context, w *world.World) error
}

// Scene is what a fault happens to.
type Scene struct {
	*world.World
	Main  *world.Drop // goes on through the fault
	Small *world.Drop // is sold out when the fault comes
}

// ClockedPrograms is the folder, beside the usual programs, of those whose clock can be set.
const ClockedPrograms = "clocked"

// All returns every class. The order is that in which they are run.
func All() []Class {
	return slices.Concat(kills(), redisFaults(), kafkaFaults(), mysqlFaults(), linkFaults(), pauses(), clocks(), stockFaults(), logFaults())
}

// Find returns the class of that name.
func Find(name string) (Class, bool) {
	all := All()
	i := slices.IndexFunc(all, func(c Class) bool { return c.Name == name })
	if i < 0 {
		return Class{}, false
	}
	return all[i], true
}

// window is a fault that begins, stays for a while, and ends.
func window(stays time.Duration, begin, end func(ctx context.Context, s *Scene) error) func(ctx context.Context, s *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		if err := begin(ctx, s); err != nil {
			return err
		}
		if err := world.Pause(ctx, stays); err != nil {
			return err
		}
		return end(ctx, s)
	}
}

// between returns a random duration.
func (s *Scene) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.Random.Int64N(int64(most-least)))
}

// server and consumer return a random program of that kind.
func (s *Scene) server() *world.Program   { return s.Servers[s.Random.IntN(len(s.Servers))] }
func (s *Scene) consumer() *world.Program { return s.Consumers[s.Random.IntN(len(s.Consumers))] }
