package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Controller is the local file of a controller: its own settings. Paths are absolute, defaults filled in.
type Controller struct {
	Name      string
	Site      string
	Listen    string // host:port of the API and of raft, mutual TLS
	Advertise string // host:port that others connect to; default Listen
	Data      string // folder of the replicated log and the snapshots
	TLS       TLS
	Metrics   string // host:port of plain HTTP for /metrics, /livez and /readyz; empty for none
	Etcd      *Etcd  // nil where topology is not published to etcd
	// Programs are the absolute paths of the programs that the platform may make this controller run; none by default.
	Programs []string
	Log      Log
}

// Etcd says where and how topology is published.
type Etcd struct {
	Endpoints    []string // URLs
	Prefix       string   // begins with /, does not end with one; default /mainstay
	Lease        time.Duration
	TLS          *TLS // nil for none
	User         string
	PasswordFile string // set where User is
}

// Bounds of etcd's lease; etcd counts it in whole seconds.
const (
	defaultEtcdLease = 10 * time.Second
	leastEtcdLease   = 2 * time.Second
	mostEtcdLease    = time.Hour
)

// LoadController reads a controller's local file. Certificates must be readable and the data folder writable. The error is
// a Mistakes.
func LoadController(path string) (Controller, error) {
	var c Controller
	err := load(path, func(l *local) []field {
		return []field{
			{"name", l.text(&c.Name)},
			{"site", l.text(&c.Site)},
			{"listen", l.text(&c.Listen)},
			{"advertise", l.text(&c.Advertise)},
			{"data", l.path(&c.Data)},
			{"tls", l.tls(&c.TLS)},
			{"metrics", l.text(&c.Metrics)},
			{"etcd", l.etcd(&c.Etcd)},
			{"programs", list(l.reader, &c.Programs, l.textInto)},
			{"log", l.log(&c.Log)},
		}
	}, func(l *local) { l.controller(&c) })
	if err != nil {
		return Controller{}, err
	}
	return c, nil
}

func (l *local) controller(c *Controller) {
	root := where{}
	l.checkName(root.field("name"), "controller", c.Name)
	l.checkName(root.field("site"), "site", c.Site)
	l.checkListen(c.Listen, &c.Advertise)
	l.writable(root.field("data"), c.Data)
	l.checkTLS(root.field("tls"), c.TLS)
	l.checkPlain(root.field("metrics"), c.Metrics, c.Listen)
	for i, path := range c.Programs {
		if at := root.field("programs").item(i, ""); !isPath(path) {
			l.add(at, quote(path)+" is not an absolute path", "write the full path of a program")
		}
	}
	if c.Etcd != nil {
		l.checkEtcd(root.field("etcd"), *c.Etcd)
	}
	l.checkLog(root.field("log"), c.Log)
}

func (l *local) etcd(dst **Etcd) reading {
	return func(n *yaml.Node, at where) {
		e := &Etcd{Prefix: "/mainstay", Lease: defaultEtcdLease}
		*dst = e
		l.section(
			field{"endpoints", list(l.reader, &e.Endpoints, l.textInto)},
			field{"prefix", l.text(&e.Prefix)},
			field{"lease", l.duration(&e.Lease)},
			field{"tls", l.optionalTLS(&e.TLS)},
			field{"user", l.text(&e.User)},
			field{"password-file", l.path(&e.PasswordFile)},
		)(n, at)
	}
}

func (l *local) checkEtcd(at where, e Etcd) {
	if len(e.Endpoints) == 0 {
		l.add(at.field("endpoints"), "is missing", "list the URLs of etcd")
	}
	for i, s := range e.Endpoints {
		if why := etcdURLWrong(s); why != "" {
			l.add(at.field("endpoints").item(i, ""), why, "write a URL such as https://10.0.1.31:2379")
		}
	}
	if !strings.HasPrefix(e.Prefix, "/") || strings.HasSuffix(e.Prefix, "/") {
		l.add(at.field("prefix"), quote(e.Prefix)+" is not a prefix", "begin it with / and do not end it with one")
	}
	if e.Lease < leastEtcdLease || e.Lease > mostEtcdLease || e.Lease%time.Second != 0 {
		l.add(at.field("lease"), fmt.Sprintf("%s is out of range", span(e.Lease)), "use whole seconds, 2s to 1h")
	}
	if e.TLS != nil {
		l.checkTLS(at.field("tls"), *e.TLS)
	}
	file := at.field("password-file")
	switch {
	case e.User != "":
		l.checkFile(file, e.PasswordFile, "name the file that holds the password of "+quote(e.User))
	case l.given(file):
		l.add(file, "has no user", "add user:, or delete the key")
	}
}

// etcdURLWrong describes the fault of the URL of an etcd server; "" for a valid one.
func etcdURLWrong(s string) string {
	u, err := url.Parse(s)
	switch {
	case err == nil && u.User != nil:
		return "holds a password or a user" // without the URL: messages are logged
	case err != nil || u.Scheme != "http" && u.Scheme != "https":
		return quote(s) + " is not an http or https URL"
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return quote(s) + " has a path"
	}
	if why := endpointWrong(u.Host); why != "" {
		return quote(s) + " " + why
	}
	return ""
}
