package config

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"mainstay/controller/platform"
)

// Bounds of an app's check: more frequent checks load the app, rarer checks miss failures.
const (
	leastEvery   = 100 * time.Millisecond
	mostEvery    = time.Hour
	leastTimeout = 100 * time.Millisecond
	mostTimeout  = time.Minute
	mostCounted  = 100
	longestText  = 1000 // bytes of a text in a check
)

var headerName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,62}$`)

// Headers that a check may not have, in net/http's form: those with credentials, and those that the check itself sets.
var (
	credentials = []string{"Authorization", "Proxy-Authorization", "Cookie"}
	ownHeaders  = []string{"Connection", "Content-Length", "Content-Type", "Expect", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade"}
)

func (c *checks) check(at where, k *platform.AppCheck) {
	c.url(at.field("http"), k.HTTP, true)
	if k.HTTP == "" {
		c.onlyHTTP(at, k)
	} else {
		c.checkHTTP(at, k)
	}
	if len(k.Exec) > 0 {
		c.checkExec(at.field("exec"), k)
	}
	if k.Every < leastEvery || k.Every > mostEvery {
		c.add(at.field("every"), span(k.Every)+" is out of range", "use 100ms to 1h")
	}
	// It may be longer than every: the checks of one instance never overlap.
	if k.Timeout < leastTimeout || k.Timeout > mostTimeout {
		c.add(at.field("timeout"), span(k.Timeout)+" is out of range", "use 100ms to 1m")
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"rise", k.Rise}, {"fall", k.Fall}} {
		if n.value < 1 || n.value > mostCounted {
			c.add(at.field(n.key), fmt.Sprintf("%d is out of range", n.value), "use 1 to 100 checks in a row")
		}
	}
}

// onlyHTTP reports settings that only a check by HTTP may have.
func (c *checks) onlyHTTP(at where, k *platform.AppCheck) {
	for _, f := range []struct {
		key  string
		used bool
	}{{"status", k.Status != 0}, {"body", k.Body != ""}, {"headers", len(k.Headers) > 0}, {"ca", k.CA != ""}} {
		if f.used && !c.broken[at.field("http").key] {
			c.add(at.field(f.key), "is for a check by HTTP", "add http: with the URL, or delete the key")
		}
	}
}

func (c *checks) checkHTTP(at where, k *platform.AppCheck) {
	if (k.Status != 0 || c.given(at.field("status"))) && (k.Status < 200 || k.Status > 599) {
		c.add(at.field("status"), fmt.Sprintf("%d is not the status of an answer", k.Status), "use 200 to 599, or delete the key for any 2xx")
	}
	c.oneLine(at.field("body"), k.Body)
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(k.Headers)) {
		c.header(at.field("headers").field(label(name)), name, k.Headers[name], seen)
	}
	if k.CA == "" {
		return
	}
	if !isPath(k.CA) {
		c.add(at.field("ca"), quote(k.CA)+" is not an absolute path", "write the full path of a certificate on every controller")
	} else if !strings.HasPrefix(strings.ToLower(k.HTTP), "https:") {
		c.add(at.field("ca"), "is for https, but the URL is http", "write https:// in the URL, or delete the key")
	}
}

func (c *checks) header(at where, name, value string, seen map[string]bool) {
	canonical := http.CanonicalHeaderKey(name)
	switch {
	case !headerName.MatchString(name):
		c.add(at, "is not the name of a header", "use letters, digits and -")
	case slices.Contains(credentials, canonical), secretKey.MatchString(strings.ToLower(name)):
		c.add(at, "would carry a credential, but the platform is stored and shown", "let the app answer its check without one")
	case slices.Contains(ownHeaders, canonical):
		c.add(at, "is set by the check itself", "delete it")
	case seen[canonical]:
		c.add(at, "is given twice: case does not matter in headers", "delete one of them")
	case strings.TrimSpace(value) != value:
		c.add(at, quote(value)+" has spaces around it", "remove them")
	default:
		c.oneLine(at, value)
	}
	seen[canonical] = true
}

func (c *checks) checkExec(at where, k *platform.AppCheck) {
	if k.HTTP != "" {
		c.add(at, "cannot be combined with http", "keep one of the two")
		return
	}
	if !isPath(k.Exec[0]) {
		c.add(at.item(0, ""), quote(k.Exec[0])+" is not an absolute path", "write the full path of a program on every controller")
	}
	for i, word := range k.Exec {
		c.oneLine(at.item(i, ""), word)
	}
	if !slices.ContainsFunc(k.Exec[1:], platform.HasAddress) {
		c.add(at, "would check the same address for all instances", "give the program {address} as one of its arguments")
	}
}

// oneLine checks a text that must be a single line.
func (c *checks) oneLine(at where, s string) {
	if strings.ContainsFunc(s, unicode.IsControl) || len(s) > longestText {
		c.add(at, quote(s)+" is not a text of one line", "write at most 1000 characters, without line ends")
	}
}

// url checks a URL; each means that the request goes to every instance.
func (c *checks) url(at where, s string, each bool) {
	if s == "" {
		if c.given(at) {
			c.add(at, "is empty", "write the URL, or delete the key")
		}
		return
	}
	if why, do := urlWrong(s, each); why != "" {
		c.add(at, why, do)
	}
}

// urlWrong describes the fault of a URL in which {address} stands for an instance's address.
func urlWrong(pattern string, each bool) (why, do string) {
	const example = "write a URL such as http://{address}/healthz"
	u, err := url.Parse(strings.ReplaceAll(pattern, "{address}", "host:80"))
	switch {
	case err == nil && u.User != nil:
		return "holds a password, which every reader of the platform would see", "let the app answer it without one"
	case strings.ContainsFunc(pattern, func(r rune) bool { return r <= ' ' || r > '~' }), err != nil,
		u.Scheme != "http" && u.Scheme != "https", u.Host == "", len(pattern) > longestText:
		return quote(pattern) + " is not an http or https URL", example
	case each && !platform.HasAddress(pattern):
		return quote(pattern) + " would ask one server for all instances", "put {address} in place of the server: http://{address}/healthz"
	case strings.ContainsAny(strings.ReplaceAll(pattern, "{address}", ""), "{}"):
		return quote(pattern) + " has braces other than {address}", example
	}
	return "", ""
}
