package config

import (
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

var (
	dnsLabel  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	allDigits = regexp.MustCompile(`^[0-9]+$`)
)

// hostWrong describes the fault of an IP address or DNS name by which others reach a host; "" for a valid one.
func hostWrong(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		switch {
		case ip.Zone() != "":
			return "has a zone, which is valid on its own host only"
		case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
			return "is not the address of one host"
		}
		return ""
	}
	if inner, ok := strings.CutPrefix(s, "["); ok && isIPv6(strings.TrimSuffix(inner, "]")) {
		return "has brackets, which are for an address with a port"
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, l := range labels {
		if !dnsLabel.MatchString(l) {
			return "is neither an IP address nor a DNS name"
		}
	}
	if len(s) > 253 || allDigits.MatchString(labels[len(labels)-1]) {
		return "is neither an IP address nor a DNS name"
	}
	return ""
}

// endpointWrong describes the fault of a host:port that others connect to; "" for a valid one.
func endpointWrong(s string) string {
	host, why := splitEndpoint(s)
	if why != "" {
		return why
	}
	return hostWrong(host)
}

// listenWrong is endpointWrong for an address to listen on, where no host, 0.0.0.0 and :: mean every address.
func listenWrong(s string) string {
	host, why := splitEndpoint(s)
	if why != "" || isEvery(host) {
		return why
	}
	return hostWrong(host)
}

// splitEndpoint returns the host of a host:port, or the fault.
func splitEndpoint(s string) (host, why string) {
	host, port, err := net.SplitHostPort(s)
	if err != nil && strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "[") {
		return "", "is not host:port: an IPv6 address needs brackets, such as [fd00::11]:7101"
	}
	if err != nil {
		return "", "is not host:port"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "has no port between 1 and 65535"
	}
	return host, ""
}

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6()
}

// isEvery tells whether a listen host means every address of the machine, so that others cannot use it.
func isEvery(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// checkEndpoint reports a missing address, and one to which others could not connect.
func (r *report) checkEndpoint(at where, s string) {
	do := "write host:port, such as 10.0.1.21:8080"
	if s == "" {
		r.add(at, "is missing", do)
	} else if why := endpointWrong(s); why != "" {
		r.add(at, quote(s)+" "+why, do)
	}
}
