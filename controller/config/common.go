package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// TLS names the files of one identity: the authority it trusts, its certificate, its key. The paths are absolute.
type TLS struct {
	CA   string
	Cert string
	Key  string
}

// Log sets a daemon's log level and form.
type Log struct {
	Level  string // debug, info (default), warn or error
	Format string // console (default) or json
}

func (l *local) tls(dst *TLS) reading {
	return l.section(
		field{"ca", l.path(&dst.CA)},
		field{"cert", l.path(&dst.Cert)},
		field{"key", l.path(&dst.Key)},
	)
}

// optionalTLS reads a TLS section that may be left out; dst stays nil then.
func (l *local) optionalTLS(dst **TLS) reading {
	return func(n *yaml.Node, at where) {
		*dst = &TLS{}
		l.tls(*dst)(n, at)
	}
}

// checkTLS checks that all three files exist.
func (l *local) checkTLS(at where, t TLS) {
	l.checkFile(at.field("ca"), t.CA, "name the authority's certificate")
	l.checkFile(at.field("cert"), t.Cert, "name the certificate, made by `mainstay cert`")
	l.checkFile(at.field("key"), t.Key, "name the certificate's key")
}

func (l *local) checkFile(at where, path, do string) {
	if path == "" {
		l.add(at, "is missing", do)
		return
	}
	l.readable(at, path, do+", and let this user read it")
}

// log fills in the defaults and reads over them.
func (l *local) log(dst *Log) reading {
	*dst = Log{Level: "info", Format: "console"}
	return l.section(
		field{"level", l.text(&dst.Level)},
		field{"format", l.text(&dst.Format)},
	)
}

func (l *local) checkLog(at where, g Log) {
	oneOf(l.report, at.field("level"), g.Level, "debug", "info", "warn", "error")
	oneOf(l.report, at.field("format"), g.Format, "console", "json")
}

// checkListen checks the addresses on which a daemon listens and that it advertises; an empty advertise becomes listen.
func (l *local) checkListen(listen string, advertise *string) {
	at, told := where{}.field("listen"), where{}.field("advertise")
	do := "write host:port, such as 10.0.1.11:7101"
	why := listenWrong(listen)
	switch {
	case listen == "":
		l.add(at, "is missing", do)
	case why != "":
		l.add(at, quote(listen)+" "+why, do)
	}
	if l.given(told) {
		l.checkEndpoint(told, *advertise)
		return
	}
	*advertise = listen
	if host, bad := splitEndpoint(listen); why == "" && bad == "" && isEvery(host) {
		l.add(at, quote(listen)+" means every address of this machine, to which others cannot connect",
			"add advertise: with the address that they use")
	}
}

// checkPlain checks the address of an optional plain HTTP listener, which cannot share the port of the one with TLS.
func (l *local) checkPlain(at where, address, listen string) {
	if !l.given(at) {
		return
	}
	if why := listenWrong(address); why != "" {
		l.add(at, quote(address)+" "+why, "write host:port, or delete the key for no listener")
	} else if address == listen {
		l.add(at, quote(address)+" is already the address of listen", "use another port")
	}
}

// checkControllers checks the addresses of the controllers.
func (l *local) checkControllers(at where, controllers []string) {
	if len(controllers) == 0 {
		l.add(at, "is missing", "list the host:port of every controller")
	}
	first := map[string]where{}
	for i, c := range controllers {
		place := at.item(i, "")
		l.checkEndpoint(place, c)
		if f, twice := first[c]; twice && c != "" {
			l.add(place, fmt.Sprintf("%s is named twice, first%s", c, l.line(f)), "delete one of them")
		}
		first[c] = place
	}
}

// checkName checks a name of the platform in a local file.
func (l *local) checkName(at where, kind, name string) {
	if what, do := nameWrong(kind, name); what != "" {
		l.add(at, what, do)
	}
}

// checkRole checks the name of a PostgreSQL role or of a system user: non-empty, one line, no quoting needed in messages.
func (l *local) checkRole(at where, name string) {
	if name == "" || len(name) > 63 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		l.add(at, quote(name)+" is not the name of a user", "use at most 63 letters, digits and _")
	}
}
