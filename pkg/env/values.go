package env

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Address is a host and a port. Without a host it stands for every interface; port 0 lets the system choose one.
type Address string

// UnmarshalText refuses what is not host:port with a numeric port.
func (a *Address) UnmarshalText(text []byte) error {
	host, port, err := net.SplitHostPort(string(text))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || strings.ContainsAny(host, " /@,") {
		return errors.New("must be host:port, such as 127.0.0.1:8080 or :8080")
	}
	*a = Address(text)
	return nil
}

// Reachable returns the address at which this very machine reaches a listener on a.
func (a Address) Reachable() string {
	host, port, err := net.SplitHostPort(string(a))
	if err != nil {
		return string(a)
	}
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// OnLoopback returns the address confined to this machine: one without a host becomes 127.0.0.1, one with a host that
// others can reach is an error.
func (a Address) OnLoopback() (Address, error) {
	host, port, err := net.SplitHostPort(string(a))
	if err != nil {
		return "", err
	}
	if host == "" {
		return Address(net.JoinHostPort("127.0.0.1", port)), nil
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return a, nil
	}
	return "", errors.New("must be a loopback address, such as 127.0.0.1:8081")
}

// Brokers is a list of Kafka brokers, at least one, each host:port.
type Brokers []string

// UnmarshalText reads a comma list.
func (b *Brokers) UnmarshalText(text []byte) error {
	var brokers Brokers
	for part := range strings.SplitSeq(string(text), ",") {
		part = strings.TrimSpace(part)
		var address Address
		if address.UnmarshalText([]byte(part)) != nil || part[0] == ':' || strings.HasSuffix(part, ":0") {
			return errors.New("must be a comma list of host:port")
		}
		brokers = append(brokers, part)
	}
	*b = brokers
	return nil
}

// String returns the comma list.
func (b Brokers) String() string { return strings.Join(b, ",") }

// Rate is how often something may happen, per second; 0 means there is no limit.
type Rate float64

// UnmarshalText reads 10/s, 600/m, 36000/h, or a bare number per second.
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit, found := strings.Cut(string(text), "/")
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !found {
		seconds, known = 1, true
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n >= 0) || math.IsInf(n, 1) {
		return errors.New("must be a rate such as 10/s or 600/m, or 0 for no limit")
	}
	*r = Rate(n / seconds)
	return nil
}

// PerSecond returns the rate per second, 0 for no limit.
func (r Rate) PerSecond() float64 { return float64(r) }

// String returns the rate as it can be set.
func (r Rate) String() string {
	if r == 0 {
		return "0"
	}
	return fmt.Sprintf("%g/s", float64(r))
}

// URL is an absolute http or https URL without a password in it.
type URL string

// UnmarshalText refuses every other URL.
func (u *URL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return errors.New("must be an http or https URL")
	}
	if parsed.User != nil {
		return errors.New("must not carry a user or a password")
	}
	*u = URL(text)
	return nil
}
