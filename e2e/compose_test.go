package e2e

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type composeService struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Command     []string
	Environment map[string]string
	Ports       []string
	Healthcheck *struct {
		Test    any
		Disable bool
	}
	Restart string
	Depends map[string]struct{ Condition string } `yaml:"depends_on"`
}

// TestDockerCompose reads docker-compose.yml and the Dockerfiles against the programs themselves.
func TestDockerCompose(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../docker-compose.yml")
	require.NoError(t, err)
	var compose struct{ Services map[string]composeService }
	require.NoError(t, yaml.Unmarshal(content, &compose))
	for _, wanted := range []string{"redis", "kafka", "mysql", "migrate", "api-server", "consumer", "retry-failed", "sweep", "reconcile"} {
		require.Contains(t, compose.Services, wanted)
	}
	for name, service := range compose.Services {
		for _, port := range service.Ports {
			require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s: %s is open to others", name, port)
		}
		for other := range service.Depends {
			require.Contains(t, compose.Services, other, name)
		}
		if service.Build.Dockerfile == "" {
			require.NotNil(t, service.Healthcheck, name)
			require.Regexp(t, `:.*\d`, service.Image, "%s: the version is pinned", name)
			continue
		}
		requireProgram(t, name, service)
	}
}

var (
	images     = regexp.MustCompile(`(?m)^FROM (\S+)`)
	lastUser   = regexp.MustCompile(`(?m)^USER (\S+)`)
	entrypoint = regexp.MustCompile(`(?m)^ENTRYPOINT \["/([a-z-]+)"\]$`)
)

// requireProgram checks a service that runs one of ours: the image is sound, and every setting and command is one the
// program knows.
func requireProgram(t *testing.T, name string, service composeService) {
	t.Helper()
	require.Equal(t, ".", service.Build.Context)
	content, err := os.ReadFile("../" + service.Build.Dockerfile)
	require.NoError(t, err)
	dockerfile := string(content)
	started := entrypoint.FindStringSubmatch(dockerfile)
	require.NotNil(t, started, service.Build.Dockerfile)
	binary := started[1]

	user := lastUser.FindStringSubmatch(dockerfile)
	require.NotNil(t, user, service.Build.Dockerfile)
	require.NotContains(t, []string{"root", "0"}, user[1])
	from := images.FindAllStringSubmatch(dockerfile, -1)
	require.Contains(t, from[len(from)-1][1], "nonroot")
	oneShot := service.Restart == ""
	if !oneShot {
		require.Contains(t, dockerfile, `HEALTHCHECK `, name)
		require.Contains(t, dockerfile, `CMD ["/`+binary+`", "healthcheck"]`)
		require.True(t, service.Healthcheck == nil || !service.Healthcheck.Disable, "%s has no health check", name)
	}
	help, _ := program(t, binary, nil, "--help")
	for variable := range service.Environment {
		require.Regexp(t, `(?m)^\s*`+variable+`\s`, help, "%s: %s does not know %s", name, binary, variable)
	}
	if binary == "batch" {
		require.NotEmpty(t, service.Command)
		_, code := program(t, binary, nil, append(slices.Clone(service.Command), "--help")...)
		require.Zero(t, code, "batch %s", strings.Join(service.Command, " "))
	}
}
