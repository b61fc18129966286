// Package simulated is Redis, the log and the database as state machines in memory, for tests that need every schedule.
package simulated
