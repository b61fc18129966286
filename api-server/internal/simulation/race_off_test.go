//go:build !race

package simulation

// raceDetector says that the race detector is on: everything is some ten times slower.
const raceDetector = false
