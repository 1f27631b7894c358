package pgdial

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/lib/pq"
)

const (
	// DefaultIO bounds one read or write of a pooled connection.
	DefaultIO = 5 * time.Second
	// DefaultOnce bounds a WithConn whose context has no deadline.
	DefaultOnce = 5 * time.Second
)

// TLSFiles are the PEM files of a certificate and of the authority that signs its peers. The zero value means no TLS.
type TLSFiles struct{ CA, Cert, Key string }

// OSUser is the operating system's user for a local connection, for peer authentication.
type OSUser struct{ UID, GID uint32 }

// Config names the server and the account of a connection. Either Host or SocketDir is set.
type Config struct {
	Host        string // IP or DNS name
	SocketDir   string // directory of the unix socket
	Port        int
	User        string
	Database    string // "" is postgres
	Application string // application_name
	Passfile    string // in libpq's format; "" for certificates and peer
	TLS         TLSFiles
	Secure      *tls.Config // used in place of TLS and VerifyHost, if set: TLS or nothing
	VerifyHost  bool        // also check the server's name against its certificate, not only the authority
	OSUser      *OSUser     // nil is the process's own
	IO          time.Duration
	Runtime     map[string]string // settings of the session
}

// place names the server in errors.
func (c *Config) place() string {
	if c.SocketDir != "" {
		return fmt.Sprintf("%s/.s.PGSQL.%d", c.SocketDir, c.Port)
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
}

func (c *Config) check() error {
	if (c.Host == "") == (c.SocketDir == "") {
		return errors.New("connect to PostgreSQL: set either Host or SocketDir")
	}
	if c.Port <= 0 || c.Port > 65535 {
		return fmt.Errorf("connect to PostgreSQL: port %d is not in 1 to 65535", c.Port)
	}
	if c.User == "" {
		return errors.New("connect to PostgreSQL: no user given")
	}
	return nil
}

// pq fills lib/pq's configuration directly, so that it uses no PG* variable of the environment.
func (c *Config) pq() pq.Config {
	out := pq.Config{
		Host: c.Host, Port: uint16(c.Port), User: c.User, Database: c.Database, Passfile: c.Passfile,
		ApplicationName: c.Application, ClientEncoding: "UTF8", Datestyle: "ISO, MDY",
		MinProtocolVersion: "3.0", MaxProtocolVersion: "3.0",
		SSLMode: pq.SSLModeDisable, Runtime: map[string]string{},
	}
	if out.Database == "" {
		out.Database = "postgres"
	}
	for k, v := range c.Runtime {
		out.Runtime[k] = v
	}
	if c.SocketDir != "" {
		out.Host = c.SocketDir
		return out
	}
	if c.Secure != nil {
		return out // the dialer makes the connection secure before lib/pq sees it
	}
	switch {
	case c.TLS.CA != "" && c.VerifyHost:
		out.SSLMode, out.SSLSNI = pq.SSLModeVerifyFull, true
	case c.TLS.CA != "":
		out.SSLMode = pq.SSLModeVerifyCA
	default:
		out.SSLMode = pq.SSLModePrefer
	}
	out.SSLRootCert, out.SSLCert, out.SSLKey = c.TLS.CA, c.TLS.Cert, c.TLS.Key
	return out
}
