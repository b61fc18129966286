package world

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// serviceAge is when a forgotten store ends itself.
const serviceAge = "48h"

// Service is a private store that scripts/services.sh looks after.
type Service struct {
	Store   Store
	Address string // as the programs' environment names it, past every link
	Kills   int    // SIGKILLs so far

	dir    string
	script string
	env    []string
	frozen bool
	away   bool
}

// Stop ends the store in order.
func (s *Service) Stop(ctx context.Context) error {
	s.away = true
	_, err := s.run(ctx, "stop", string(s.Store))
	return err
}

// Kill ends the store with SIGKILL.
func (s *Service) Kill(ctx context.Context) error {
	s.away = true
	s.Kills++
	_, err := s.run(ctx, "kill", string(s.Store))
	return err
}

// Start starts it again, on the same port with the same data, and returns when it answers.
func (s *Service) Start(ctx context.Context) error {
	_, err := s.run(ctx, "start", string(s.Store))
	if err == nil {
		s.away = false
	}
	return err
}

// Freeze leaves the store's connections open, and nothing answers until Thaw.
func (s *Service) Freeze() error {
	s.frozen = true
	return s.signal(syscall.SIGSTOP)
}

// Thaw lets it go on.
func (s *Service) Thaw() error {
	s.frozen = false
	return s.signal(syscall.SIGCONT)
}

func (s *Service) heal(ctx context.Context) error {
	if s.frozen {
		if err := s.Thaw(); err != nil {
			return err
		}
	}
	if s.away {
		return s.Start(ctx)
	}
	return nil
}

// signal reaches the server and the `timeout` above it: they are one process group.
func (s *Service) signal(signal syscall.Signal) error {
	files, err := filepath.Glob(filepath.Join(s.dir, "*", "native", "pid"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("signal %s: %d files name its process", s.Store, len(files))
	}
	content, err := os.ReadFile(files[0])
	if err != nil {
		return fmt.Errorf("signal %s: %w", s.Store, err)
	}
	var group int
	if _, err := fmt.Sscan(string(content), &group); err != nil {
		return fmt.Errorf("signal %s: %w", s.Store, err)
	}
	return syscall.Kill(-group, signal)
}

func (s *Service) up(ctx context.Context) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if _, err := s.run(ctx, "up", string(s.Store)); err != nil {
		return err
	}
	lines, err := s.run(ctx, "env")
	if err != nil {
		return err
	}
	variable := map[Store]string{KafkaStore: "KAFKA_BROKERS", MySQLStore: "MYSQL_DSN"}[s.Store]
	for line := range strings.Lines(lines) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), "export "+variable+"="); found {
			s.Address = strings.Trim(value, "'")
			return nil
		}
	}
	return fmt.Errorf("services.sh env does not name %s:\n%s", variable, lines)
}

func (s *Service) down() error {
	const bound = time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if s.frozen {
		_ = s.Thaw() // a frozen one is killed after 40 s
	}
	_, err := s.run(ctx, "down", "--wipe")
	return err
}

// run runs services.sh for this store alone: the addresses of shared ones would be taken before one of its own.
func (s *Service) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.script, args...)
	cmd.Env = append(os.Environ(), "SEONCHAK_SERVICES_DIR="+s.dir, "SEONCHAK_SERVICES=native",
		"SEONCHAK_SERVICES_MAX_AGE="+serviceAge, "REDIS_URL=", "KAFKA_BROKERS=", "MYSQL_DSN=")
	cmd.Env = append(cmd.Env, s.env...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	output, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("services.sh %s: %w: %s", strings.Join(args, " "), err, complaints.String())
	}
	return string(output), nil
}
