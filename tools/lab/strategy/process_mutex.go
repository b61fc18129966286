package strategy

import (
	"context"
	"sync"
)

var processMutexSpec = Spec{
	Name: "process-mutex", Counts: true,
	What: "The naive way inside a mutex of the server.",
	When: `A program that will never have a second instance, not even for the seconds of a rolling deployment. With two it is the naive
way, and a crash between two writes still leaves them apart.`,
	New: func(w *World) Strategy { return &processMutex{naive: naive{w}} },
}

type processMutex struct {
	mu sync.Mutex
	naive
}

func (s *processMutex) Grant(ctx context.Context, user string) (Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.naive.Grant(ctx, user)
}

func (s *processMutex) Add(ctx context.Context, user string, points int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.naive.Add(ctx, user, points)
}

func (s *processMutex) Cancel(ctx context.Context, user string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.naive.Cancel(ctx, user)
}
