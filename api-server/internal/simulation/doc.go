// Package simulation runs the apply path, the sweep, the plan of issue(), the fence and the warden on simulated stores, a
// simulated network and simulated time: one seed is one schedule. It has tests only.
package simulation
