// Package setup says under which conditions something was measured: a figure without them is nobody's to repeat.
package setup

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seonchak/seonchak/tools/procs"
)

// Setup is what a figure depends on besides the code.
type Setup struct {
	Time     time.Time         `json:"time"`
	Machine  Machine           `json:"machine"`
	Versions map[string]string `json:"versions"` // commit and go of the programs, redis, kafka, database; those that are known
	Settings map[string]string `json:"settings"` // of the load, and those of the programs that are not the default
}

// Machine is what everything ran on, the client and the stores too.
type Machine struct {
	Cores  int    `json:"cores"` // that this process may use
	Model  string `json:"model"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	OS     string `json:"os"`
}

// tuned are the variables that change what the programs can do.
var tuned = []string{
	"APPLY_QUEUE", "APPLY_BATCH", "PUBLISH_IN_FLIGHT", "ISSUE_BATCH", "ISSUE_RATE",
	"GOGC", "GOMEMLIMIT", "GOMAXPROCS",
}

// Of returns the setup of a load with these settings on own programs in the folder bin.
func Of(ctx context.Context, stores procs.Stores, bin string, settings map[string]string) (Setup, error) {
	s := Local(settings)
	output, code, err := procs.Run(ctx, procs.Spec{Name: "api-server", Binary: filepath.Join(bin, "api-server"), Args: []string{"--version"}})
	if err != nil {
		return s, err
	}
	said := strings.Fields(output)
	if code != 0 || len(said) != 3 {
		return s, fmt.Errorf("api-server --version says %q", output)
	}
	s.Versions["commit"], s.Versions["go"] = said[1], strings.TrimPrefix(said[2], "go")
	for name, ask := range map[string]func(context.Context, procs.Stores) (string, error){
		"redis": redisVersion, "kafka": kafkaVersion, "database": databaseVersion,
	} {
		if s.Versions[name], err = ask(ctx, stores); err != nil {
			return s, fmt.Errorf("version of %s: %w", name, err)
		}
	}
	for _, name := range tuned {
		if value := os.Getenv(name); value != "" {
			s.Settings[name] = value
		}
	}
	return s, nil
}

// Local returns the setup of a load on servers of others: of these nothing is known.
func Local(settings map[string]string) Setup {
	own := map[string]string{}
	maps.Copy(own, settings)
	return Setup{
		Time: time.Now().UTC().Truncate(time.Second), Versions: map[string]string{"go": strings.TrimPrefix(runtime.Version(), "go")},
		Machine:  Machine{Cores: runtime.GOMAXPROCS(0), Model: model(), Memory: memory(), Kernel: kernel(), OS: system()},
		Settings: own,
	}
}

// String is one line.
func (s Setup) String() string {
	const giga = 1 << 30
	return fmt.Sprintf("%s, %d cores of %s, %.0f GiB, %s, kernel %s; %s; %s", s.Time.Format("2006-01-02 15:04 UTC"), s.Machine.Cores,
		s.Machine.Model, float64(s.Machine.Memory)/giga, s.Machine.OS, s.Machine.Kernel, pairs(s.Versions), pairs(s.Settings))
}

func pairs(of map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, name+" "+of[name])
	}
	return strings.Join(all, ", ")
}

func model() string {
	return orUnknown(field("/proc/cpuinfo", "model name"))
}

func memory() (bytes int64) {
	_, _ = fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d kB", &bytes) // 0 says that it is not known
	return bytes << 10
}

func kernel() string {
	content, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return orUnknown(strings.TrimSpace(string(content)))
}

// system is what the distribution calls itself.
func system() string {
	content, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(content)) {
		if name, is := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); is {
			return orUnknown(strings.Trim(name, `"'`))
		}
	}
	return orUnknown("")
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// field returns the first value of a name in a file of lines "name : value"; "" without it.
func field(path, name string) string {
	content, _ := os.ReadFile(path)
	for line := range strings.Lines(string(content)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
